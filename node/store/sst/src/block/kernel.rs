//! Kernels: hot loops, compiled twice on x86-64, for every such processor and for x86-64-v3 (AVX2,
//! BMI2, FMA), chosen when they run. On aarch64 the baseline has NEON and fused multiplication already.

/// Declares a function whose body is chosen by the processor. `$division` names how the body
/// divides: by division, or by the three fused steps that give the same bits.
macro_rules! multiversioned {
    (
        $(#[$doc:meta])*
        pub(crate) fn $name:ident<$division:ident>($($arg:ident: $type:ty),*)
        $(-> $result:ty)? $body:block
    ) => {
        $(#[$doc])*
        #[cfg_attr(target_arch = "x86_64", expect(
            unsafe_code,
            reason = "code for processor features is called where they were found"
        ))]
        pub(crate) fn $name($($arg: $type),*) $(-> $result)? {
            use $crate::block::floats::decimal::{Division, Exact, Fused};
            #[inline(always)]
            fn body<$division: Division>($($arg: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi1,bmi2,fma,lzcnt")]
                fn v3($($arg: $type),*) $(-> $result)? {
                    body::<Fused>($($arg),*)
                }
                if $crate::block::kernel::is_v3() {
                    // SAFETY: the processor has these features.
                    return unsafe { v3($($arg),*) };
                }
            }
            if cfg!(target_arch = "aarch64") {
                body::<Fused>($($arg),*)
            } else {
                body::<Exact>($($arg),*)
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) fn is_v3() -> bool {
    // Each is a look at a word that is set at the first call.
    std::is_x86_feature_detected!("avx2")
        && std::is_x86_feature_detected!("fma")
        && std::is_x86_feature_detected!("bmi1")
        && std::is_x86_feature_detected!("bmi2")
        && std::is_x86_feature_detected!("lzcnt")
}

pub(crate) use multiversioned;

//! Many bodies that want more room at once, and what is held once there are rows.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use futures::future::join_all;

use super::*;

const KIB: usize = 1 << 10;

fn rows(length: usize, usual: usize, most: usize) -> RowsRoom {
    RowsRoom {
        length,
        beside: 0,
        usual,
        kept: false,
        most,
        held: None,
    }
}

/// Each holds a quarter of the room for bodies, and its rows take most of that for what is made of them.
#[tokio::test]
async fn bodies_that_want_more_at_once_all_get_it() {
    let (bodies, made) = (Pool::patient(64 * KIB), Pool::patient(64 * KIB));
    let all = (0..4).map(|_| async {
        let mut body = bodies.take(16 * KIB).await.unwrap();
        let mut rows = rows(16 * KIB, 3 * KIB, 48 * KIB);
        let enough = |bytes| Ok((bytes >= 40 * KIB).then_some(bytes));
        let bytes = rows.make_in(&made, &mut body, enough).await.unwrap();
        assert_eq!(bytes, Some(48 * KIB));
    });
    join_all(all).await;
    assert_eq!((bodies.free(), made.free()), (64 * KIB, 64 * KIB));
}

#[tokio::test]
async fn what_is_held_for_rows_is_what_they_take() {
    let (bodies, made) = (Pool::new(64 * KIB), Pool::new(64 * KIB));
    let enough = |bytes| Ok((bytes >= 20 * KIB).then_some(()));
    for (takes, of_bodies, of_made) in [(2, 2, 0), (10, 10, 0), (18, 16, 2), (40, 16, 24)] {
        // Its length was not announced.
        let mut body = bodies.take(64 * KIB).await.unwrap();
        let mut rows = rows(16 * KIB, 8 * KIB, 48 * KIB);
        assert!(
            rows.make_in(&made, &mut body, enough)
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!((bodies.free(), made.free()), (48 * KIB, 32 * KIB));
        rows.settle(&mut body, takes * KIB);
        let held = (64 * KIB - bodies.free(), 64 * KIB - made.free());
        assert_eq!(held, (of_bodies * KIB, of_made * KIB), "{takes}");
    }
    assert_eq!((bodies.free(), made.free()), (64 * KIB, 64 * KIB));
}

#[tokio::test]
async fn who_gets_no_room_in_time_is_turned_away() {
    let (bodies, made) = (Pool::new(64 * KIB), Pool::new(64 * KIB));
    let _others = made.take(60 * KIB).await.unwrap();
    let mut body = bodies.take(KIB).await.unwrap();
    let mut rows = rows(KIB, 2 * KIB, 48 * KIB);
    let enough = |bytes| Ok((bytes > 4 * KIB).then_some(()));
    let error = rows.make_in(&made, &mut body, enough).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    // What is usual needs none.
    let usual = rows.make_in(&made, &mut body, |_| Ok(Some(()))).await;
    assert_eq!(usual.unwrap(), Some(()));
}

//! Picks one of every so many points of a series so that a chart of those picked looks like a chart of all:
//! the one that makes the largest triangle with the point picked before and the mean of those that follow.
//! After Steinarsson, "Downsampling Time Series for Visual Representation", 2013 (largest triangle, three
//! buckets); that method takes buckets from the whole series, this one as they come.

use activestore_plugin::series::Bits;

/// One point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// The value as it is.
    pub bits: Bits,
    /// As a number.
    pub value: f64,
}

/// The memory of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picker {
    /// The point picked last.
    pub picked: Option<Point>,
    /// The points that one is picked of, and those that follow them.
    pub points: Vec<Point>,
}

impl Picker {
    /// Looks at a point, and sends one where that is decided now. One of `of` is picked; the first of all is.
    /// A point that is late or no number is sent as it is.
    pub fn see(&mut self, point: Point, of: usize, mut send: impl FnMut(Point)) {
        let last = self.points.last().or(self.picked.as_ref());
        if !point.value.is_finite() || last.is_some_and(|last| point.time <= last.time) {
            send(point);
            return;
        }
        let Some(picked) = self.picked else {
            send(point);
            self.picked = Some(point);
            return;
        };
        self.points.push(point);
        // More than two buckets are left where `of` was larger before.
        while self.points.len() >= 2 * of {
            let (bucket, following) = self.points.split_at(of);
            if let Some(best) = largest(&picked, bucket, &following[..of]) {
                send(best);
                self.picked = Some(best);
            }
            self.points.drain(..of);
        }
    }
}

/// The point of the bucket with the largest triangle; the first of several.
fn largest(picked: &Point, bucket: &[Point], following: &[Point]) -> Option<Point> {
    let count = following.len().max(1) as f64;
    let later = |point: &Point| point.time.saturating_sub(picked.time) as f64;
    let mean_time = following.iter().map(later).sum::<f64>() / count;
    let mean = following.iter().map(|point| point.value).sum::<f64>() / count;
    let area = |point: &Point| {
        (mean_time * (point.value - picked.value) - later(point) * (mean - picked.value)).abs()
    };
    let mut best: Option<(f64, Point)> = None;
    for point in bucket {
        let area = area(point);
        if best.is_none_or(|(largest, _)| area > largest) {
            best = Some((area, *point));
        }
    }
    best.map(|(_, point)| point)
}

#[cfg(test)]
mod tests;

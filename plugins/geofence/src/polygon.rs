//! Fences: polygons from well-known text, parsed once for each text. It knows no globe: x is the longitude,
//! y the latitude, and sides are straight.

use std::collections::HashMap;
use std::rc::Rc;

/// Texts whose fences are kept; when there are more, all are parsed again.
const FENCES_MAX: usize = 64;
/// Bytes of texts that are kept.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Corners of one fence.
const CORNERS_MAX: usize = 100_000;

type Point = (f64, f64);

/// The fences of texts seen before, and of the one seen last at hand.
#[derive(Debug, Default)]
pub struct Fences {
    last: Option<(Rc<str>, Rc<Fence>)>,
    known: HashMap<Rc<str>, Rc<Fence>>,
    bytes: usize,
}

impl Fences {
    /// The fence of a text.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn of(&mut self, text: &str) -> Result<Rc<Fence>, String> {
        if let Some((last, fence)) = &self.last
            && **last == *text
        {
            return Ok(fence.clone());
        }
        if !self.known.contains_key(text) {
            let fence = Rc::new(Fence::parse(text)?);
            if self.known.len() >= FENCES_MAX || self.bytes + text.len() > TEXT_BYTES_MAX {
                self.known.clear();
                self.bytes = 0;
            }
            self.bytes += text.len();
            self.known.insert(text.into(), fence);
        }
        let (text, fence) = self
            .known
            .get_key_value(text)
            .ok_or("a fence that was parsed is gone")?;
        self.last = Some((text.clone(), fence.clone()));
        Ok(fence.clone())
    }
}

/// One or more polygons with their holes.
#[derive(Debug)]
pub struct Fence {
    polygons: Vec<Polygon>,
}

/// Rings, the outer one first, and the box around them.
#[derive(Debug)]
struct Polygon {
    rings: Vec<Vec<Point>>,
    least: Point,
    most: Point,
}

/// Where a point lies to a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Inside,
    Edge,
    Outside,
}

impl Fence {
    fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::of(text);
        let polygons = match reader.word().to_ascii_uppercase().as_str() {
            "POLYGON" => vec![reader.polygon()?],
            "MULTIPOLYGON" => reader.list(Reader::polygon)?,
            _ => return Err(reader.error("POLYGON or MULTIPOLYGON")),
        };
        if !reader.rest().is_empty() {
            return Err(reader.error("the end"));
        }
        Ok(Fence { polygons })
    }

    /// Whether the point is inside or on an edge.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        self.polygons.iter().any(|polygon| polygon.contains(x, y))
    }
}

impl Polygon {
    fn of(rings: Vec<Vec<Point>>) -> Self {
        let all = || rings.iter().flatten();
        let least = |pick: fn(&Point) -> f64| all().map(pick).fold(f64::INFINITY, f64::min);
        let most = |pick: fn(&Point) -> f64| all().map(pick).fold(f64::NEG_INFINITY, f64::max);
        Polygon {
            least: (least(|point| point.0), least(|point| point.1)),
            most: (most(|point| point.0), most(|point| point.1)),
            rings,
        }
    }

    fn contains(&self, x: f64, y: f64) -> bool {
        let boxed = self.least.0 <= x && x <= self.most.0 && self.least.1 <= y && y <= self.most.1;
        if !boxed {
            return false;
        }
        let Some((outer, holes)) = self.rings.split_first() else {
            return false;
        };
        match side(outer, x, y) {
            Side::Outside => false,
            Side::Edge => true,
            // On the edge of a hole is in the fence.
            Side::Inside => holes.iter().all(|hole| side(hole, x, y) != Side::Inside),
        }
    }
}

/// Counts the sides that a ray from the point to the east crosses.
fn side(ring: &[Point], x: f64, y: f64) -> Side {
    let mut inside = false;
    for pair in ring.windows(2) {
        let ((x1, y1), (x2, y2)) = (pair[0], pair[1]);
        // Above 0 when the point is to the left of the side.
        let turn = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1);
        let within = x1.min(x2) <= x && x <= x1.max(x2) && y1.min(y2) <= y && y <= y1.max(y2);
        if turn == 0.0 && within {
            return Side::Edge;
        }
        // A corner at the ray's height belongs to the side above it alone.
        if (y1 > y) != (y2 > y) && (turn > 0.0) == (y2 > y1) {
            inside = !inside;
        }
    }
    if inside { Side::Inside } else { Side::Outside }
}

/// Reads well-known text from front to back.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    corners: usize,
}

impl<'a> Reader<'a> {
    fn of(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            corners: 0,
        }
    }

    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn error(&mut self, wanted: &str) -> String {
        let found: String = self.rest().chars().take(20).collect();
        format!(
            "a fence's text has '{found}' at byte {} where {wanted} is expected; \
             write it like POLYGON ((13.3 52.5, 13.5 52.5, 13.4 52.6, 13.3 52.5))",
            self.at
        )
    }

    /// Letters; empty when there are none.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_ascii_alphabetic());
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn takes(&mut self, sign: char) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len_utf8();
        }
        found
    }

    fn must_take(&mut self, sign: char) -> Result<(), String> {
        if self.takes(sign) {
            Ok(())
        } else {
            Err(self.error(&format!("'{sign}'")))
        }
    }

    /// One or more, with commas between them, in brackets.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.must_take('(')?;
        let mut items = vec![item(self)?];
        while self.takes(',') {
            items.push(item(self)?);
        }
        self.must_take(')')?;
        Ok(items)
    }

    fn polygon(&mut self) -> Result<Polygon, String> {
        self.list(Reader::ring).map(Polygon::of)
    }

    /// A ring whose last corner is its first.
    fn ring(&mut self) -> Result<Vec<Point>, String> {
        let corners = self.list(Reader::point)?;
        if corners.len() < 4 || corners.first() != corners.last() {
            return Err(format!(
                "a ring of a fence that ends at byte {} has to hold four corners or more and to end at its first",
                self.at
            ));
        }
        Ok(corners)
    }

    fn point(&mut self) -> Result<Point, String> {
        self.corners += 1;
        if self.corners > CORNERS_MAX {
            return Err(format!("a fence has more than {CORNERS_MAX} corners"));
        }
        Ok((self.number("a longitude")?, self.number("a latitude")?))
    }

    fn number(&mut self, wanted: &str) -> Result<f64, String> {
        let rest = self.rest();
        let numeral = |sign: char| sign.is_ascii_digit() || "+-.eE".contains(sign);
        let end = rest.find(|sign| !numeral(sign)).unwrap_or(rest.len());
        match rest[..end].parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.at += end;
                Ok(number)
            }
            _ => Err(self.error(wanted)),
        }
    }
}

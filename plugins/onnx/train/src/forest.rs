//! An isolation forest: random cuts through the training rows. A row that few cuts set apart from the others is
//! unlike them. Liu, Ting and Zhou, "Isolation Forest", 2008. The trees are complete, so that all of them have
//! one shape and go into an ONNX file as matrices: where a row is alone early, what hangs below says the same.

use crate::random::Random;

/// Trees.
pub const TREES: usize = 48;
/// Cuts from the root to a leaf.
pub const DEPTH: usize = 5;
/// Cuts of a tree.
pub const CUTS: usize = (1 << DEPTH) - 1;
/// Leaves of a tree.
pub const LEAVES: usize = 1 << DEPTH;
/// Rows that a tree is grown from.
const SAMPLE: usize = 128;

/// One tree, its cuts by level: the cut behind `cut` to the left is `2 * cut + 1`, to the right `2 * cut + 2`.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Which feature is looked at.
    pub features: Vec<usize>,
    /// Below this goes to the left.
    pub thresholds: Vec<f32>,
    /// How many cuts set the rows of a leaf apart.
    pub lengths: Vec<f32>,
}

/// A grown forest.
#[derive(Clone, Debug)]
pub struct Forest {
    /// Its trees.
    pub trees: Vec<Tree>,
    /// How many cuts set an ordinary row apart.
    pub ordinary: f64,
}

impl Forest {
    /// Grows one from rows of features; the same for the same rows and seed.
    pub fn train(rows: &[Vec<f64>], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let trees = (0..TREES).map(|_| {
            let sample: Vec<&Vec<f64>> = (0..SAMPLE.min(rows.len()))
                .map(|_| &rows[random.below(rows.len())])
                .collect();
            let mut tree = Tree {
                features: vec![0; CUTS],
                thresholds: vec![0.0; CUTS],
                lengths: vec![0.0; LEAVES],
            };
            grow(&mut tree, 0, 0, &sample, &mut random);
            tree
        });
        Forest {
            trees: trees.collect(),
            ordinary: cuts_for(SAMPLE.min(rows.len())),
        }
    }

    /// From 0 to 1: how far below the ordinary the cuts are that set the row apart.
    pub fn score(&self, row: &[f64]) -> f64 {
        let lengths = self.trees.iter().map(|tree| {
            let mut cut = 0;
            while cut < CUTS {
                let left = (row[tree.features[cut]] as f32) < tree.thresholds[cut];
                cut = 2 * cut + if left { 1 } else { 2 };
            }
            f64::from(tree.lengths[cut - CUTS])
        });
        let mean = lengths.sum::<f64>() / self.trees.len() as f64;
        (-std::f64::consts::LN_2 * mean / self.ordinary).exp()
    }
}

fn grow(tree: &mut Tree, cut: usize, depth: usize, rows: &[&Vec<f64>], random: &mut Random) {
    if depth == DEPTH {
        tree.lengths[cut - CUTS] = (depth as f64 + cuts_for(rows.len())) as f32;
        return;
    }
    // Only features in which the rows differ can set them apart.
    let width = rows.first().map_or(0, |row| row.len());
    let spans = (0..width).map(|feature| {
        let values = rows.iter().map(|row| row[feature]);
        let least = values.clone().fold(f64::INFINITY, f64::min);
        (feature, least, values.fold(f64::NEG_INFINITY, f64::max))
    });
    let spans: Vec<_> = spans.filter(|(_, least, most)| least < most).collect();
    if rows.len() < 2 || spans.is_empty() {
        close(tree, cut, (depth as f64 + cuts_for(rows.len())) as f32);
        return;
    }
    let (feature, least, most) = spans[random.below(spans.len())];
    let threshold = (least + (most - least) * random.unit()) as f32;
    tree.features[cut] = feature;
    tree.thresholds[cut] = threshold;
    let (left, right): (Vec<&Vec<f64>>, Vec<&Vec<f64>>) = rows
        .iter()
        .partition(|row| (row[feature] as f32) < threshold);
    grow(tree, 2 * cut + 1, depth + 1, &left, random);
    grow(tree, 2 * cut + 2, depth + 1, &right, random);
}

/// All leaves below a cut say the same.
fn close(tree: &mut Tree, cut: usize, length: f32) {
    if cut >= CUTS {
        tree.lengths[cut - CUTS] = length;
    } else {
        close(tree, 2 * cut + 1, length);
        close(tree, 2 * cut + 2, length);
    }
}

/// How many random cuts it takes on average to set one of so many rows apart.
fn cuts_for(rows: usize) -> f64 {
    if rows < 2 {
        return 0.0;
    }
    let harmonic: f64 = (1..rows).map(|one| 1.0 / one as f64).sum();
    2.0 * harmonic - 2.0 * (rows - 1) as f64 / rows as f64
}

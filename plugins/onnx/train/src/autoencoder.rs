//! An autoencoder: it learns to give back a day's readings through a narrow middle. A day unlike those that it
//! learnt comes back wrong, and how wrong is the score.

use crate::random::Random;

/// Hidden values on both sides of the middle.
const HIDDEN: usize = 12;
/// Values in the middle.
const MIDDLE: usize = 4;
/// Windows that one step of the training looks at.
const BATCH: usize = 32;
const EPOCHS: usize = 120;
const RATE: f64 = 0.002;
/// Adam's memories.
const BETAS: (f64, f64) = (0.9, 0.999);

/// Of a layer's weights and of its biases.
type Gradient = (Vec<f64>, Vec<f64>);

/// A dense layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Values that go in.
    pub inputs: usize,
    /// Values that come out.
    pub outputs: usize,
    /// By input, then output.
    pub weights: Vec<f64>,
    /// By output.
    pub biases: Vec<f64>,
    /// Whether the hyperbolic tangent of each value comes out.
    pub bends: bool,
}

/// A trained autoencoder.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    /// What is taken off each reading, and what the rest is divided by.
    pub mean: f64,
    /// See `mean`.
    pub spread: f64,
    /// From the readings to the readings.
    pub layers: Vec<Layer>,
}

impl Layer {
    fn new(inputs: usize, outputs: usize, bends: bool, random: &mut Random) -> Self {
        let reach = (6.0 / (inputs + outputs) as f64).sqrt();
        let weight = |_| (random.unit() * 2.0 - 1.0) * reach;
        Layer {
            inputs,
            outputs,
            weights: (0..inputs * outputs).map(weight).collect(),
            biases: vec![0.0; outputs],
            bends,
        }
    }

    fn forward(&self, input: &[f64]) -> Vec<f64> {
        let mut out = self.biases.clone();
        for (value, weights) in input.iter().zip(self.weights.chunks(self.outputs)) {
            for (out, weight) in out.iter_mut().zip(weights) {
                *out += value * weight;
            }
        }
        if self.bends {
            out.iter_mut().for_each(|value| *value = tanh(*value));
        }
        out
    }
}

/// The hyperbolic tangent from additions and multiplications alone, which are the same on every machine; those
/// of the machines' mathematical libraries differ in the last bit.
fn tanh(x: f64) -> f64 {
    let x = x.clamp(-20.0, 20.0);
    // e^2x, by halving until the series converges at once.
    let small = 2.0 * x / 1024.0;
    let mut power = 1.0 + small * (1.0 + small / 2.0 * (1.0 + small / 3.0 * (1.0 + small / 4.0)));
    for _ in 0..10 {
        power *= power;
    }
    (power - 1.0) / (power + 1.0)
}

impl Autoencoder {
    /// Trains one on windows of equal length; the same for the same windows and seed.
    pub fn train(windows: &[Vec<f64>], seed: u64) -> Self {
        let all: Vec<f64> = windows.iter().flatten().copied().collect();
        let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
        let squares: f64 = all
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum();
        let spread = (squares / all.len().max(1) as f64).sqrt().max(1e-9);
        let width = windows.first().map_or(0, Vec::len);
        let mut random = Random::new(seed);
        let shape = [width, HIDDEN, MIDDLE, HIDDEN, width];
        let layers = shape.windows(2).enumerate();
        let layers = layers
            .map(|(place, pair)| Layer::new(pair[0], pair[1], place < 3, &mut random))
            .collect();
        let mut model = Autoencoder {
            mean,
            spread,
            layers,
        };
        let windows: Vec<Vec<f64>> = windows.iter().map(|window| model.scaled(window)).collect();
        let mut order: Vec<usize> = (0..windows.len()).collect();
        let mut adam = Adam::new(&model.layers);
        for epoch in 0..EPOCHS {
            random.shuffle(&mut order);
            // Slower towards the end, so that it settles.
            let rate = RATE * (1.0 - epoch as f64 / EPOCHS as f64);
            for batch in order.chunks(BATCH) {
                let gradients = model.gradients(batch.iter().map(|place| &windows[*place]));
                adam.step(&mut model.layers, &gradients, rate, batch.len());
            }
        }
        model
    }

    fn scaled(&self, window: &[f64]) -> Vec<f64> {
        let scaled = window.iter().map(|value| (value - self.mean) / self.spread);
        scaled.collect()
    }

    /// How far the window comes back from what it was: the mean of the squared differences, in spreads.
    pub fn score(&self, window: &[f64]) -> f64 {
        let scaled = self.scaled(window);
        let back = self
            .layers
            .iter()
            .fold(scaled.clone(), |values, layer| layer.forward(&values));
        let squares = scaled.iter().zip(&back).map(|(a, b)| (a - b) * (a - b));
        squares.sum::<f64>() / scaled.len() as f64
    }

    /// The sums of the gradients of the error, over the windows: weights, then biases, layer by layer.
    fn gradients<'a>(&self, windows: impl Iterator<Item = &'a Vec<f64>>) -> Vec<Gradient> {
        let zeros = |layer: &Layer| (vec![0.0; layer.weights.len()], vec![0.0; layer.outputs]);
        let mut sums: Vec<_> = self.layers.iter().map(zeros).collect();
        for window in windows {
            let mut values = vec![window.clone()];
            for layer in &self.layers {
                values.push(layer.forward(&values[values.len() - 1]));
            }
            let back = &values[values.len() - 1];
            let mut slope: Vec<f64> = back
                .iter()
                .zip(window)
                .map(|(b, w)| 2.0 * (b - w))
                .collect();
            for (place, layer) in self.layers.iter().enumerate().rev() {
                let (input, output) = (&values[place], &values[place + 1]);
                if layer.bends {
                    let bent = slope.iter_mut().zip(output);
                    bent.for_each(|(slope, out)| *slope *= 1.0 - out * out);
                }
                let (weights, biases) = &mut sums[place];
                biases
                    .iter_mut()
                    .zip(&slope)
                    .for_each(|(sum, slope)| *sum += slope);
                let mut before = vec![0.0; layer.inputs];
                for (from, value) in input.iter().enumerate() {
                    let row = from * layer.outputs..(from + 1) * layer.outputs;
                    let rows = weights[row.clone()].iter_mut().zip(&layer.weights[row]);
                    for ((sum, weight), slope) in rows.zip(&slope) {
                        *sum += value * slope;
                        before[from] += weight * slope;
                    }
                }
                slope = before;
            }
        }
        sums
    }
}

/// Adam: steps whose length follows from how steady the slope is.
struct Adam {
    means: Vec<Gradient>,
    squares: Vec<Gradient>,
    /// The betas to the power of the steps taken.
    powers: (f64, f64),
}

impl Adam {
    fn new(layers: &[Layer]) -> Self {
        let zeros = |layer: &Layer| (vec![0.0; layer.weights.len()], vec![0.0; layer.outputs]);
        Adam {
            means: layers.iter().map(zeros).collect(),
            squares: layers.iter().map(zeros).collect(),
            powers: (1.0, 1.0),
        }
    }

    fn step(&mut self, layers: &mut [Layer], gradients: &[Gradient], rate: f64, count: usize) {
        self.powers = (self.powers.0 * BETAS.0, self.powers.1 * BETAS.1);
        let powers = self.powers;
        let memories = self.means.iter_mut().zip(&mut self.squares);
        let all = layers.iter_mut().zip(gradients).zip(memories);
        for ((layer, gradient), (mean, square)) in all {
            let parts = [
                (&mut layer.weights, &gradient.0, &mut mean.0, &mut square.0),
                (&mut layer.biases, &gradient.1, &mut mean.1, &mut square.1),
            ];
            for (values, gradient, mean, square) in parts {
                for place in 0..values.len() {
                    let slope = gradient[place] / count as f64;
                    mean[place] = BETAS.0 * mean[place] + (1.0 - BETAS.0) * slope;
                    square[place] = BETAS.1 * square[place] + (1.0 - BETAS.1) * slope * slope;
                    let steady = mean[place] / (1.0 - powers.0);
                    let wild = (square[place] / (1.0 - powers.1)).sqrt();
                    values[place] -= rate * steady / (wild + 1e-8);
                }
            }
        }
    }
}

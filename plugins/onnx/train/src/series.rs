//! A series of readings at even distances, and what models are shown of it.

/// Readings of a day that a model is shown at once.
pub const READINGS: usize = 24;

/// One series.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// `2013-12-02 21:15:00` and the like: they sort as text.
    pub times: Vec<String>,
    /// The readings.
    pub values: Vec<f64>,
}

impl Series {
    /// Reads `timestamp,value` with a line of names above.
    ///
    /// # Errors
    /// A sentence for a line that is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut series = Series::default();
        for (number, line) in text.lines().enumerate().skip(1) {
            let cells = line.split_once(',').and_then(|(time, value)| {
                let value: f64 = value.trim().parse().ok()?;
                value.is_finite().then_some((time, value))
            });
            let (time, value) =
                cells.ok_or_else(|| format!("line {} is not timestamp,value", number + 1))?;
            series.times.push(time.to_owned());
            series.values.push(value);
        }
        Ok(series)
    }

    /// How many rows a day has, by the time of the first rows: those before the time of day comes again.
    pub fn rows_per_day(&self) -> usize {
        let clock = |time: &String| time.get(11..16).map(str::to_owned);
        let first = self.times.first().and_then(clock);
        let mut rest = self.times.iter().skip(1);
        let again = rest.position(|time| clock(time) == first);
        again.map_or(READINGS, |again| again + 1).max(READINGS)
    }

    /// Rows between two readings of those that a model is shown.
    pub fn stride(&self) -> usize {
        self.rows_per_day() / READINGS
    }

    /// The first row that has a whole day before it.
    pub fn first(&self) -> usize {
        self.stride() * READINGS
    }

    /// What the autoencoder is shown: the last day's readings, oldest first, this row's last. In SQL,
    /// `lag(value, 23 * stride) OVER w, …, value`.
    pub fn window(&self, row: usize) -> Vec<f64> {
        let stride = self.stride();
        let lags = (0..READINGS).rev();
        lags.map(|lag| self.values[row - lag * stride]).collect()
    }

    /// What the forest is shown: the value, its differences to an hour and to a day before, and the day's
    /// mean, least and greatest reading.
    pub fn features(&self, row: usize) -> Vec<f64> {
        let day = &self.values[row + 1 - self.first()..=row];
        let value = self.values[row];
        vec![
            value,
            value - self.values[row - self.stride()],
            value - self.values[row - self.first()],
            day.iter().sum::<f64>() / day.len() as f64,
            day.iter().copied().fold(f64::INFINITY, f64::min),
            day.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        ]
    }
}

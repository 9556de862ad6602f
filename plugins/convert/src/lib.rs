//! Converts units as rows are written: each row goes on to another table with its key, the columns that are
//! converted by the formulas of `units`, and those that are kept as they are. It rejects nothing.

#[path = "../../units/src/formula.rs"]
mod formula;

use activestore_plugin::{
    Batch, Column, Config, Error, Field, Processed, Processor, ScalarType, Spec, State, Values,
    block,
};

/// A conversion of a whole column.
type Formula = fn(&[f64]) -> Vec<f64>;

/// A loop for each formula: called through a pointer for each value, none would be done in vectors.
macro_rules! formulas {
    ($($name:ident),+ $(,)?) => {
        [$((stringify!($name), |values| block::map(values, formula::$name))),+]
    };
}

/// The conversions by name.
const FORMULAS: [(&str, Formula); 10] = formulas![
    f_to_c, c_to_f, c_to_k, psi_to_bar, bar_to_psi, kmh_to_ms, ms_to_kmh, rpm_to_hz, gpm_to_lps,
    kib_to_gib,
];

/// The processor.
pub struct Convert {
    /// For each column that is sent: its place among those asked for, and what converts it; `None` for one that
    /// goes on as it is.
    columns: Vec<(usize, Option<Formula>)>,
}

impl Processor for Convert {
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error> {
        config.only(&["columns", "keep"])?;
        let parts = config.list("columns");
        if parts.is_empty() {
            return Err(Error::Invalid(
                "the setting 'columns' is missing: 'temp_f:f_to_c:temp_c, oil:psi_to_bar'"
                    .to_owned(),
            ));
        }
        let mut asked: Vec<u32> = Vec::new();
        let mut sent: Vec<Field> = Vec::new();
        let mut columns = Vec::new();
        let mut add = |place: usize, field: Field, formula: Option<Formula>| {
            if sent.iter().any(|other: &Field| other.name == field.name) {
                let name = field.name;
                return Err(Error::Invalid(format!(
                    "two columns would be sent as '{name}'; name one as 'from:formula:{name}_2'"
                )));
            }
            // A column is asked for once, however often it is sent.
            let known = asked.iter().position(|other| *other as usize == place);
            let known = known.unwrap_or(asked.len());
            if known == asked.len() {
                asked.push(place as u32);
            }
            sent.push(field);
            columns.push((known, formula));
            Ok(())
        };
        for (place, field) in fields.iter().enumerate() {
            if !field.nullable {
                add(place, field.clone(), None)?;
            }
        }
        for part in &parts {
            let (place, field, formula) = conversion(part, fields)?;
            add(place, field, Some(formula))?;
        }
        for place in config.columns("keep", fields, |_| false)? {
            add(place, fields[place].clone(), None)?;
        }
        Ok((Convert { columns }, Spec::sending(sent, asked)))
    }

    fn process(&mut self, batch: &Batch, _: &mut dyn State) -> Result<Processed, Error> {
        let converted = |(place, formula): &(usize, Option<Formula>)| {
            let column = &batch.columns[*place];
            match formula {
                None => column.clone(),
                Some(formula) => apply(column, batch.rows as usize, *formula),
            }
        };
        let columns = self.columns.iter().map(converted);
        Ok(Processed::sending(batch.rows as usize, columns.collect()))
    }
}

/// Reads `from:formula` or `from:formula:to`: the column's place, the column that is sent, the formula.
fn conversion(part: &str, fields: &[Field]) -> Result<(usize, Field, Formula), Error> {
    let mut words = part.split(':').map(str::trim);
    let (from, formula) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let to = words.next().unwrap_or(from);
    if formula.is_empty() || to.is_empty() || words.next().is_some() {
        return Err(Error::Invalid(format!(
            "columns has '{part}'; write 'from:formula' or 'from:formula:to'"
        )));
    }
    let place = fields.iter().position(|field| field.name == from);
    let place = place.ok_or_else(|| Error::Invalid(format!("the table has no column '{from}'")))?;
    let known = FORMULAS.iter().find(|(name, _)| *name == formula);
    let Some((_, formula)) = known else {
        let names: Vec<&str> = FORMULAS.iter().map(|(name, _)| *name).collect();
        return Err(Error::Invalid(format!(
            "there is no formula '{formula}'; there are {}",
            names.join(", ")
        )));
    };
    let field = &fields[place];
    let number = matches!(
        field.kind,
        ScalarType::Int32 | ScalarType::Int64 | ScalarType::Float32 | ScalarType::Float64
    );
    if !number || !field.nullable {
        return Err(Error::Invalid(format!(
            "column '{from}' cannot be converted: it is of the key, or holds no numbers"
        )));
    }
    let field = Field {
        name: to.to_owned(),
        kind: ScalarType::Float64,
        nullable: true,
    };
    Ok((place, field, *formula))
}

/// The column by the formula; what is null stays null.
fn apply(column: &Column, rows: usize, formula: Formula) -> Column {
    let values = match &column.values {
        Values::F64s(values) => formula(values),
        _ => {
            let number = |row| column.number(row).unwrap_or_default();
            formula(&(0..rows).map(number).collect::<Vec<f64>>())
        }
    };
    Column {
        values: Values::F64s(values),
        validity: column.validity.clone(),
    }
}

activestore_plugin::processor!(Convert);

#[cfg(test)]
mod tests;

//! Rows as a Parquet file, row group by row group as they come.

use std::io::Write;

use activestore_formats::ParquetWriter;
use activestore_types::{Error, Result};
use arrow::ipc::reader::StreamReader;
use indicatif::ProgressBar;

use crate::client::BodyReader;

/// Bytes of a row group, which is held until it is written.
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Writes the rows of an Arrow stream; how many bytes the file has.
///
/// # Errors
/// Where the answer breaks off, or the file cannot be written.
pub fn write(body: BodyReader, out: &mut (impl Write + Send), bar: &ProgressBar) -> Result<u64> {
    let broken = |error| Error::internal(format!("the answer broke off: {error}"));
    let rows = StreamReader::try_new(body, None).map_err(broken)?;
    let mut writer = ParquetWriter::new(out, rows.schema(), GROUP_BYTES)?;
    for batch in rows {
        writer.write(&batch.map_err(broken)?)?;
        bar.set_position(writer.bytes_written());
    }
    writer.finish()?;
    writer.out().flush()?;
    Ok(writer.bytes_written())
}

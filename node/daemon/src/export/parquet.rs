//! Rows as a Parquet file, row group by row group as they come.

use std::io::Write;

use activestore_types::{Error, Result};
use arrow::ipc::reader::StreamReader;
use indicatif::ProgressBar;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

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
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let mut writer =
        ArrowWriter::try_new(out, rows.schema(), Some(properties)).map_err(unwritable)?;
    for batch in rows {
        writer.write(&batch.map_err(broken)?).map_err(unwritable)?;
        if writer.in_progress_size() > GROUP_BYTES {
            writer.flush().map_err(unwritable)?;
        }
        bar.set_position(writer.bytes_written() as u64);
    }
    writer.finish().map_err(unwritable)?;
    writer.inner_mut().flush()?;
    Ok(writer.bytes_written() as u64)
}

fn unwritable(error: ParquetError) -> Error {
    Error::invalid(format!("the rows cannot be written as Parquet: {error}"))
}

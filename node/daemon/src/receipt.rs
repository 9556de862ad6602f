//! `activestore sync receipt …`: what a cloud signed that it holds, and whether that is so.

use std::path::Path;
use std::process::ExitCode;

use activestore_sync_proto::{Receipt, ReceiptText};
use activestore_sync_quic::verify_receipt;
use activestore_types::{Error, Result};
use arrow::temporal_conversions::timestamp_ms_to_datetime;
use serde::{Deserialize, Serialize};

use crate::cli::ReceiptCommand;
use crate::client::Client;
use crate::plugin::encoded;
use crate::sql::Grid;

/// Bytes of a file of receipts, or of a certificate, at most.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file of receipts, and the node's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    receipts: Vec<ReceiptText>,
}

/// Runs the command; `verify` gives 1 where a receipt does not hold.
///
/// # Errors
/// What the node or the file system says; `Invalid` for a file that holds no receipts.
pub fn run(command: &ReceiptCommand) -> Result<ExitCode> {
    match command {
        ReceiptCommand::List { cloud, json, node } => {
            let file = ask(&Client::new(&node.url)?, cloud.as_deref())?;
            if *json {
                println!("{}", text_of(&file)?);
            } else {
                println!("{}", listed(&file.receipts));
            }
        }
        ReceiptCommand::Export { out, cloud, node } => {
            let file = ask(&Client::new(&node.url)?, cloud.as_deref())?;
            if file.receipts.is_empty() {
                return Err(Error::not_found("this node has no receipt yet").with_hint(
                    "an edge gets its first one when everything that it shipped has arrived",
                ));
            }
            let text = text_of(&file)?;
            match out {
                None => println!("{text}"),
                Some(out) => std::fs::write(out, text + "\n")
                    .map_err(|error| Error::from(error).context(out.display()))?,
            }
        }
        ReceiptCommand::Verify { file, ca } => return verify(file, ca),
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(client: &Client, cloud: Option<&str>) -> Result<File> {
    let path = match cloud {
        None => "/v1/sync/receipts".to_owned(),
        Some(name) => format!("/v1/sync/receipts?cloud={}", encoded(name)),
    };
    serde_json::from_value(client.get(&path)?).map_err(|error| {
        Error::invalid(format!("the node's receipts cannot be read: {error}"))
            .with_hint("the node may be of another release than this program")
    })
}

fn text_of(file: &File) -> Result<String> {
    serde_json::to_string_pretty(file)
        .map_err(|error| Error::internal(format!("the receipts cannot be written: {error}")))
}

fn listed(receipts: &[ReceiptText]) -> String {
    if receipts.is_empty() {
        return "no receipts".to_owned();
    }
    let titles = ["cloud", "edge", "epoch", "segment", "rows", "issued"];
    let cells = receipts.iter().map(|receipt| {
        vec![
            Some(receipt.cloud.clone()),
            Some(receipt.edge.clone()),
            Some(receipt.epoch.clone()),
            Some(receipt.seq.to_string()),
            Some(receipt.rows.to_string()),
            Some(time(receipt.issued_ms)),
        ]
    });
    let grid = Grid::of_text(&titles, cells.collect()).render(None);
    grid.trim_end().to_owned()
}

fn verify(file: &Path, ca: &Path) -> Result<ExitCode> {
    let text = read(file)?;
    let receipts: File = serde_json::from_slice(&text).map_err(|error| {
        Error::invalid(format!(
            "{} is no file of receipts: {error}",
            file.display()
        ))
        .with_hint("activestore sync receipt export writes one")
    })?;
    let ca = read(ca)?;
    let mut all_hold = !receipts.receipts.is_empty();
    for text in &receipts.receipts {
        match Receipt::try_from(text).and_then(|receipt| {
            verify_receipt(&receipt, &ca)?;
            Ok(receipt)
        }) {
            Ok(receipt) => println!("{}", proved(&receipt)),
            Err(error) => {
                all_hold = false;
                eprintln!(
                    "The receipt for edge {} up to segment {} proves nothing: {}",
                    text.edge,
                    text.seq,
                    error.message()
                );
            }
        }
    }
    if receipts.receipts.is_empty() {
        eprintln!("The file holds no receipt.");
    }
    Ok(ExitCode::from(u8::from(!all_hold)))
}

/// What a receipt that holds says.
fn proved(receipt: &Receipt) -> String {
    let said = &receipt.statement;
    format!(
        "Cloud {} of this fleet signed at {} that it holds {} of edge {}: all of epoch {:016x} up to segment {} \
         with the hash {}.",
        said.cloud,
        time(said.issued_ms),
        match said.rows {
            1 => "1 row".to_owned(),
            rows => format!("{rows} rows"),
        },
        said.edge,
        said.epoch.0,
        said.seq,
        said.hash
    )
}

/// A moment as people write it, in UTC.
pub(crate) fn time(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(timestamp_ms_to_datetime)
        .map_or_else(|| format!("{ms} ms"), |time| format!("{time} UTC"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let failed = |error: std::io::Error| Error::from(error).context(path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{} is larger than {FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

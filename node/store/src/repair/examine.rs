//! The examination: manifest, copy, SSTables, log, in this order, each whatever the one before said.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_env::{Disk, Keyring};
use activestore_types::{Error, ErrorKind, Lsn, OriginId, Result};

use super::rebuild::{self, Rebuilt};
use super::salvage::{self, Damaged};
use super::{Fault, Findings, Known, Progress};
use crate::disks::table_disk;
use crate::manifest::{self, Contents, EntrySealer, copy, inspect};
use crate::store::SST_DIR;
use crate::wal::WAL_DIR;
use crate::wal::survey::Survey;

/// Everything that a repair has to know.
pub(super) struct Examined {
    pub(super) findings: Findings,
    /// What the manifest holds, or held.
    pub(super) contents: Contents,
    pub(super) manifest_fault: bool,
    pub(super) copy_fault: bool,
    pub(super) damaged: Vec<Damaged>,
    pub(super) unknown_origins: BTreeSet<OriginId>,
    pub(super) survey: Survey,
    /// The first record of the log that must be there.
    pub(super) needed: Lsn,
    pub(super) log_missing: bool,
}

impl Examined {
    pub(super) fn take(
        disk: &Arc<dyn Disk>,
        known: &Known,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Examined> {
        let keyring = known.keyring.as_ref();
        let tables = table_disk(disk, keyring);
        progress(Progress::Total(total(disk.as_ref())?));
        let mut faults = Vec::new();
        let read = inspect::read(disk, known.node, known.keyring.as_ref());
        let (mut rebuilt, manifest_fault) = match read {
            Ok(contents) => (Rebuilt::exactly(contents), false),
            Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
            // A directory that no store has been opened in.
            Err(_) if manifest::left_behind(disk.as_ref())?.is_none() => {
                (Rebuilt::exactly(Contents::new()), false)
            }
            Err(error) => {
                faults.push(Fault {
                    path: manifest::PATH.to_owned(),
                    error,
                    lost: Vec::new(),
                });
                (rebuild::rebuild(disk, known, true)?, true)
            }
        };
        let mut looked = |path: &str, bytes| progress(Progress::Read(path, bytes));
        let (wanted, needed) = needed_of(&rebuilt.contents);
        let mut survey = Survey::take(disk, keyring, wanted, needed, &mut looked)?;
        if rebuilt.exact && manifest_fault && survey.starts_late {
            // The copy has fallen behind: the log does not reach back to it.
            rebuilt = rebuild::rebuild(disk, known, false)?;
        }
        if !rebuilt.exact {
            survey = Survey::take(disk, keyring, Lsn(1), Lsn(1), &mut |_, _| {})?;
            rebuilt.meet(&mut survey);
        }
        if let Some(fault) = faults.first_mut() {
            fault.lost.append(&mut rebuilt.lost);
        }
        let Rebuilt {
            contents,
            unknown_origins,
            ..
        } = rebuilt;
        let copy_fault = (!manifest_fault)
            .then(|| copy_fault(disk, &contents, keyring))
            .flatten();
        let mut findings = Findings {
            tables: contents.schemas.len() as u64,
            files: contents.files.len() as u64,
            rows: contents.files.iter().map(|file| file.meta.rows).sum(),
            bytes: contents.files.iter().map(|file| file.meta.bytes).sum(),
            owner: contents.origins.get(&OriginId(0)).copied(),
            ..Findings::default()
        };
        let mut damaged = Vec::new();
        for file in &contents.files {
            let path = rebuild::place(disk.as_ref(), file.id);
            if let Some(found) = salvage::check(&tables, file, &path) {
                faults.push(Fault {
                    path: path.clone(),
                    error: found.error.clone(),
                    lost: found.lost.clone(),
                });
                damaged.push(found);
            }
            looked(&path, file.meta.bytes);
        }
        let mut examined = Examined {
            findings: Findings::default(),
            log_missing: contents.flushed > Lsn(0) && survey.paths.is_empty(),
            copy_fault: copy_fault.is_some(),
            needed: needed_of(&contents).1,
            contents,
            manifest_fault,
            damaged,
            unknown_origins,
            survey,
        };
        faults.extend(copy_fault);
        faults.extend(examined.log_faults());
        findings.owner = findings.owner.or(examined.survey.node);
        findings.records = examined.survey.len() as u64;
        findings.faults = faults;
        examined.findings = findings;
        Ok(examined)
    }

    fn log_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.log_missing {
            faults.push(Fault {
                path: WAL_DIR.to_owned(),
                error: Error::corrupt("the write-ahead log is missing"),
                lost: vec![format!(
                    "commits after record {} are lost",
                    self.contents.flushed.0
                )],
            });
        }
        for (path, readable) in &self.survey.bad {
            let error = Error::corrupt("the segment's first sector is damaged");
            faults.push(Fault {
                path: path.clone(),
                error: if *readable {
                    error.with_hint("its records can be read all the same")
                } else {
                    error.with_hint("its records cannot be told from those of an earlier use")
                },
                lost: Vec::new(),
            });
        }
        for gap in &self.survey.gaps {
            let records = if gap.from == gap.to {
                format!("record {}", gap.from.0)
            } else {
                format!("records {} to {}", gap.from.0, gap.to.0)
            };
            let place = gap.at.as_ref().map(|(path, at)| (path.as_str(), *at));
            let error = Error::corrupt(match place {
                Some((_, at)) => format!("{records} at byte {at} cannot be read"),
                None => format!("{records} are missing"),
            });
            let lost = if gap.to <= self.contents.flushed {
                format!(
                    "{records} of the log: the rows are in SSTables, but whoever follows the log will not see them"
                )
            } else {
                format!("{records} of the log: what these commits wrote is lost")
            };
            faults.push(Fault {
                path: place.map_or(WAL_DIR, |(path, _)| path).to_owned(),
                error,
                lost: vec![lost],
            });
        }
        faults
    }
}

/// The first record of the log that somebody wants, and the first one that must be there.
fn needed_of(contents: &Contents) -> (Lsn, Lsn) {
    let after = Lsn(contents.flushed.0 + 1);
    let wanted = contents.hold.map_or(after, |hold| hold.min(after));
    (wanted, after)
}

/// What is wrong with the copy of a manifest that is whole. One change behind is what a crash
/// leaves; the next start catches up.
fn copy_fault(
    disk: &Arc<dyn Disk>,
    contents: &Contents,
    keyring: Option<&Arc<Keyring>>,
) -> Option<Fault> {
    if contents.changes == 0 {
        return None;
    }
    let error = match copy::read(disk.as_ref(), copy::PATH, &EntrySealer::new(keyring)) {
        Ok(told) if told.contents.changes + 1 >= contents.changes => return None,
        Ok(told) => told.damage.unwrap_or_else(|| {
            Error::corrupt(format!(
                "the copy is {} changes behind the manifest",
                contents.changes - told.contents.changes
            ))
        }),
        Err(error) => error,
    };
    Some(Fault {
        path: copy::PATH.to_owned(),
        error: error.with_hint("nothing is lost: the next start writes it anew"),
        lost: Vec::new(),
    })
}

/// Bytes of the SSTables and the log.
fn total(disk: &dyn Disk) -> Result<u64> {
    let mut bytes = 0;
    for dir in [SST_DIR, WAL_DIR] {
        for name in disk.list(dir)? {
            bytes += disk.open(&format!("{dir}/{name}"))?.len()?;
        }
    }
    Ok(bytes)
}

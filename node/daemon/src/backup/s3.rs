//! Backups in a bucket of Amazon S3 or a store that speaks its language. Region, keys and endpoint come
//! from the AWS_* variables of the process: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
//! and AWS_ENDPOINT_URL (with AWS_ALLOW_HTTP=true for one without TLS).

use std::io::{Read, Write};

use activestore_db::backup::Target;
use activestore_types::{Error, ErrorKind, Result};
use futures::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::{Path, PathPart};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::runtime::{Builder, Runtime};

/// Larger objects go in parts of this many bytes, of which one is held in memory.
const PART_BYTES: usize = 8 << 20;

/// A bucket, or what lies below a prefix in it.
pub struct Bucket {
    shown: String,
    prefix: Path,
    store: AmazonS3,
    runtime: Runtime,
}

impl Bucket {
    /// The bucket, reached as the environment says.
    ///
    /// # Errors
    /// `Invalid` for a name or variables that do not describe one.
    pub fn open(bucket: &str, prefix: &str) -> Result<Bucket> {
        if bucket.is_empty() {
            return Err(
                Error::invalid("the bucket has no name").with_hint("write s3://BUCKET/PREFIX")
            );
        }
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .build()
            .map_err(|error| {
                Error::invalid(format!("s3://{bucket}: {error}"))
                    .with_hint("set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION")
            })?;
        let prefix = Path::parse(prefix.trim_matches('/'))
            .map_err(|error| Error::invalid(format!("s3://{bucket}/{prefix}: {error}")))?;
        Ok(Bucket {
            shown: format!("s3://{bucket}/{prefix}"),
            prefix,
            store,
            runtime: Builder::new_current_thread().enable_all().build()?,
        })
    }

    fn path(&self, name: &str) -> Path {
        let parts = self.prefix.parts();
        parts
            .chain(name.split('/').map(PathPart::from))
            .collect::<Path>()
    }

    fn failed(&self, name: &str, error: &object_store::Error) -> Error {
        let kind = match error {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => ErrorKind::Denied,
            _ => ErrorKind::Internal,
        };
        let error = Error::new(kind, format!("{}/{name}: {error}", self.shown));
        if kind == ErrorKind::Denied {
            return error.with_hint(
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
            );
        }
        error
    }

    async fn put_parts(&self, path: &Path, from: &mut dyn Read) -> PutOutcome {
        let mut upload = self.store.put_multipart(path).await?;
        loop {
            let part = match read_part(from) {
                Ok(part) if part.is_empty() => break,
                Ok(part) => part,
                Err(error) => {
                    upload.abort().await?;
                    return Ok(Err(error.into()));
                }
            };
            if let Err(error) = upload.put_part(part.into()).await {
                // What was uploaded costs until it is given up.
                let _ = upload.abort().await;
                return Err(error);
            }
        }
        upload.complete().await?;
        Ok(Ok(()))
    }
}

/// What the store said, and inside it what the reader said.
type PutOutcome = object_store::Result<Result<()>>;

/// The next part, shorter only at the end.
fn read_part(from: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut part = Vec::new();
    from.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part)
}

impl Target for Bucket {
    fn describe(&self) -> String {
        self.shown.clone()
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        let listed = self
            .runtime
            .block_on(self.store.list_with_delimiter(Some(&path)))
            .map_err(|error| self.failed(folder, &error))?;
        let mut names: Vec<String> = listed
            .objects
            .iter()
            .filter_map(|object| object.location.filename().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.runtime.block_on(self.store.head(&self.path(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name, &error)),
        }
    }

    fn put(&self, name: &str, bytes: u64, from: &mut dyn Read) -> Result<()> {
        let path = self.path(name);
        if bytes > PART_BYTES as u64 {
            return self
                .runtime
                .block_on(self.put_parts(&path, from))
                .map_err(|error| self.failed(name, &error))?;
        }
        let payload = PutPayload::from(read_part(from)?);
        self.runtime
            .block_on(self.store.put(&path, payload))
            .map_err(|error| self.failed(name, &error))?;
        Ok(())
    }

    fn get(&self, name: &str, to: &mut dyn Write) -> Result<()> {
        let path = self.path(name);
        self.runtime.block_on(async {
            let found = self.store.get(&path).await;
            let mut pieces = found
                .map_err(|error| self.failed(name, &error))?
                .into_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| self.failed(name, &error))?;
                to.write_all(&piece)?;
            }
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.runtime.block_on(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(name, &error)),
        }
    }
}

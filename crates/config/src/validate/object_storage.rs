//! Checks of where a bucket is. Called for every section that has one.

use super::{Check, fail};
use crate::options::{
    AzureConfig, BackendName, BucketConfig, GcsConfig, S3Config, SignatureVersion, SseType,
};

/// The smallest part that S3 takes in an upload of several, bytes.
const MIN_PART_BYTES: u64 = 5 << 20;
/// The largest part that is held in memory, bytes.
const MAX_PART_BYTES: u64 = 1 << 30;

/// Storage classes of S3.
const STORAGE_CLASSES: &[&str] = &[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "GLACIER",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
];

/// Checks the bucket of the section whose flags begin with `flags`.
pub(super) fn bucket(flags: &str, bucket: &BucketConfig) -> Check {
    match bucket.backend {
        BackendName::Filesystem if bucket.filesystem.dir.is_empty() => {
            Err(format!("-{flags}.filesystem.dir must not be empty"))
        }
        BackendName::Filesystem => Ok(()),
        BackendName::S3 => s3(flags, &bucket.s3),
        BackendName::Gcs => gcs(flags, &bucket.gcs),
        BackendName::Azure => azure(flags, &bucket.azure),
        BackendName::Swift => Err(format!("-{flags}.backend: the backend swift is not built yet")),
    }
}

fn s3(flags: &str, s3: &S3Config) -> Check {
    if s3.bucket_name.is_empty() {
        return Err(format!("-{flags}.s3.bucket-name must not be empty"));
    }
    if s3.signature_version != SignatureVersion::V4 {
        return Err(format!("-{flags}.s3.signature-version: only v4 is supported"));
    }
    if s3.endpoint.contains("://") || s3.endpoint.contains('/') {
        return Err(format!("-{flags}.s3.endpoint must be a host without scheme and path"));
    }
    if !s3.storage_class.is_empty() && !STORAGE_CLASSES.contains(&s3.storage_class.as_str()) {
        let classes = STORAGE_CLASSES.join(", ");
        return Err(format!(
            "unsupported S3 storage class: {}. Supported values: {classes}",
            s3.storage_class
        ));
    }
    if s3.sse.r#type == SseType::SseKms && s3.sse.kms_key_id.is_empty() {
        return fail("KMS Key ID must be set when KMS SSE type is configured");
    }
    if s3.part_size != 0 && !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&s3.part_size) {
        return Err(format!("-{flags}.s3.part-size must be 0 or from 5 MiB to 1 GiB"));
    }
    Ok(())
}

fn gcs(flags: &str, gcs: &GcsConfig) -> Check {
    if gcs.bucket_name.is_empty() {
        return Err(format!("-{flags}.gcs.bucket-name must not be empty"));
    }
    Ok(())
}

fn azure(flags: &str, azure: &AzureConfig) -> Check {
    if azure.container_name.is_empty() {
        return Err(format!("-{flags}.azure.container-name must not be empty"));
    }
    let has_connection = !azure.connection_string.expose().is_empty();
    if has_connection && !azure.account_key.expose().is_empty() {
        return Err(format!(
            "-{flags}.azure.connection-string and -{flags}.azure.account-key cannot both be set"
        ));
    }
    if !has_connection && azure.account_name.is_empty() {
        return Err(format!("-{flags}.azure.account-name must not be empty"));
    }
    Ok(())
}

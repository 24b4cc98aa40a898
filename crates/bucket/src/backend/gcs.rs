//! Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::GoogleCloudStorageBuilder;

use super::{Backend, Hidden, HttpOptions, cannot_open, http, retries};
use crate::BucketError;

/// Which bucket of Google Cloud Storage and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcsOptions {
    /// The bucket.
    pub bucket_name: String,
    /// Key of a service account, as JSON; empty for the application default credentials or those
    /// of the instance. A key with `gcs_base_url` and `disable_oauth` is for servers of tests.
    pub service_account: Hidden,
    /// Retries of a request.
    pub max_retries: usize,
    /// Connections.
    pub http: HttpOptions,
}

pub(super) fn open(options: &GcsOptions) -> Result<Backend, BucketError> {
    let key = options.service_account.expose();
    let is_plain = base_url(key).is_some_and(|url| url.starts_with("http://"));
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&options.bucket_name)
        .with_retry(retries(options.max_retries))
        .with_client_options(http::client(&options.http, is_plain)?);
    if !key.is_empty() {
        builder = builder.with_service_account_key(key);
    }
    if let Some(connector) = http::connector(&options.http)? {
        builder = builder.with_http_connector(connector);
    }
    let store = builder.build().map_err(cannot_open(&options.bucket_name))?;
    Ok(Backend::plain(http::limited(Arc::new(store), &options.http)))
}

fn base_url(service_account: &str) -> Option<String> {
    let key: serde_json::Value = serde_json::from_str(service_account).ok()?;
    Some(key.get("gcs_base_url")?.as_str()?.to_owned())
}

//! Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{MicrosoftAzureBuilder, split_sas};

use super::{Backend, Hidden, HttpOptions, cannot_open, http, retries};
use crate::BucketError;

const DEFAULT_SUFFIX: &str = "blob.core.windows.net";

/// Which container of Azure Blob Storage and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzureOptions {
    /// The storage account.
    pub account_name: String,
    /// Its key; empty for the managed identity.
    pub account_key: Hidden,
    /// Stands for name, key and address; empty for none.
    pub connection_string: Hidden,
    /// The container.
    pub container_name: String,
    /// What stands behind the account's name in the host; empty is Azure's.
    pub endpoint_suffix: String,
    /// Client id of the managed identity; empty is the system's.
    pub user_assigned_id: String,
    /// Retries of a request.
    pub max_retries: usize,
    /// Connections.
    pub http: HttpOptions,
}

pub(super) fn open(options: &AzureOptions) -> Result<Backend, BucketError> {
    let account = match options.connection_string.expose() {
        "" => Account::of(options),
        text => Account::parse(text),
    };
    let is_plain = account.endpoint.starts_with("http://");
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(&account.name)
        .with_container_name(&options.container_name)
        .with_endpoint(account.endpoint.clone())
        .with_allow_http(is_plain)
        .with_retry(retries(options.max_retries))
        .with_client_options(http::client(&options.http, is_plain)?)
        .with_allow_http(is_plain);
    if !account.key.is_empty() {
        builder = builder.with_access_key(account.key.expose());
    } else if !account.shared_access.is_empty() {
        let pairs = split_sas(account.shared_access.expose());
        builder = builder.with_sas_authorization(pairs.map_err(cannot_open(&account.name))?);
    } else if !options.user_assigned_id.is_empty() {
        builder = builder.with_client_id(&options.user_assigned_id);
    }
    if let Some(connector) = http::connector(&options.http)? {
        builder = builder.with_http_connector(connector);
    }
    let store = builder.build().map_err(cannot_open(&options.container_name))?;
    Ok(Backend::plain(http::limited(Arc::new(store), &options.http)))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Account {
    name: String,
    key: Hidden,
    shared_access: Hidden,
    endpoint: String,
}

impl Account {
    fn of(options: &AzureOptions) -> Self {
        let suffix = match options.endpoint_suffix.as_str() {
            "" => DEFAULT_SUFFIX,
            suffix => suffix,
        };
        Self {
            name: options.account_name.clone(),
            key: options.account_key.clone(),
            shared_access: Hidden::default(),
            endpoint: format!("https://{}.{suffix}", options.account_name),
        }
    }

    /// `Key=value;Key=value`, as the portal shows it.
    fn parse(connection_string: &str) -> Self {
        let value = |wanted: &str| {
            let pairs = connection_string.split(';').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
            values.next().map_or("", |(_, value)| value.trim())
        };
        let or = |text: &str, default: &'static str| -> String {
            if text.is_empty() { default.to_owned() } else { text.to_owned() }
        };
        let scheme = or(value("DefaultEndpointsProtocol"), "https");
        let suffix = or(value("EndpointSuffix"), "core.windows.net");
        let endpoint = value("BlobEndpoint").trim_end_matches('/');
        let (mut name, host) = (value("AccountName").to_owned(), endpoint.split("//").nth(1));
        if let (true, Some(host)) = (name.is_empty(), host) {
            name = host.split('.').next().unwrap_or_default().to_owned();
        }
        let endpoint = match endpoint {
            "" => format!("{scheme}://{name}.blob.{suffix}"),
            endpoint => endpoint.to_owned(),
        };
        Self {
            key: Hidden::new(value("AccountKey")),
            shared_access: Hidden::new(value("SharedAccessSignature")),
            name,
            endpoint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(connection_string: &str, name: &str, key: &str, endpoint: &str) {
        let account = Account::parse(connection_string);
        let got = (account.name.as_str(), account.key.expose(), account.endpoint.as_str());
        assert_eq!(got, (name, key, endpoint));
    }

    #[test]
    fn connection_strings_are_understood() {
        let whole =
            "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=bXk=;EndpointSuffix=x.y";
        check(whole, "a", "bXk=", "http://a.blob.x.y");
        check("AccountName=a;AccountKey=k==", "a", "k==", "https://a.blob.core.windows.net");
        let local = "AccountName=a;AccountKey=k;BlobEndpoint=http://127.0.0.1:10000/a;";
        check(local, "a", "k", "http://127.0.0.1:10000/a");
        let shared =
            "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=2";
        check(shared, "a", "", "https://a.blob.core.windows.net");
        assert_eq!(Account::parse(shared).shared_access.expose(), "sv=1&sig=2");
    }
}

//! Amazon S3 and what speaks its protocol.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpConnector as _, ReqwestConnector};
use object_store::{Attribute, Attributes};

use super::s3_uploads::UnfinishedUploads;
use super::{Backend, Hidden, HttpOptions, PART_BYTES, RETRIES, cannot_open, http, retries};
use crate::BucketError;

/// Which bucket of S3 and how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    /// Host and port, without scheme and bucket; empty is Amazon's for the region.
    pub endpoint: String,
    /// Empty is what the endpoint says, or else us-east-1.
    pub region: String,
    /// The bucket.
    pub bucket_name: String,
    /// Without it the credentials of the environment, the web identity, the container or the
    /// instance are used, the first that there is.
    pub access_key_id: String,
    /// Belongs to the id.
    pub secret_access_key: Hidden,
    /// Belongs to both; empty for none.
    pub session_token: Hidden,
    /// Speak HTTP without TLS.
    pub insecure: bool,
    /// Where the bucket's name stands.
    pub lookup: BucketLookup,
    /// Storage class of new objects; empty is the bucket's own.
    pub storage_class: String,
    /// Size of the parts of large uploads; 0 is 8 MiB.
    pub part_bytes: u64,
    /// Use the addresses of Amazon that also speak IPv6.
    pub dualstack: bool,
    /// Address of the Security Token Service; empty is Amazon's.
    pub sts_endpoint: String,
    /// Encryption by the storage.
    pub sse: Sse,
    /// Log every operation.
    pub trace: bool,
    /// Retries of a request; 10 unless told.
    pub retries: Option<usize>,
    /// Connections.
    pub http: HttpOptions,
}

/// Where a bucket's name stands in addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BucketLookup {
    /// In the host for Amazon, in the path elsewhere.
    #[default]
    Auto,
    /// In the path.
    Path,
    /// In the host.
    VirtualHosted,
}

/// Encryption by the storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sse {
    /// None is asked for.
    #[default]
    None,
    /// With keys of the storage.
    S3,
    /// With this key of Amazon's key management.
    Kms(String),
}

/// What says who we are when no keys are given, in the environment that Amazon's tools share.
const CREDENTIALS: &[AmazonS3ConfigKey] = &[
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::SecretAccessKey,
    AmazonS3ConfigKey::Token,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::RoleArn,
    AmazonS3ConfigKey::RoleSessionName,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
    AmazonS3ConfigKey::ContainerAuthorizationTokenFile,
    AmazonS3ConfigKey::MetadataEndpoint,
    AmazonS3ConfigKey::ImdsV1Fallback,
];

pub(super) fn open(options: &S3Options) -> Result<Backend, BucketError> {
    let has_keys = !options.access_key_id.is_empty() || !options.secret_access_key.is_empty();
    let address = Address::of(options);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket_name)
        .with_region(&address.region)
        .with_endpoint(&address.endpoint)
        .with_virtual_hosted_style_request(address.is_virtual_hosted)
        .with_allow_http(options.insecure)
        // Not everything that speaks S3 deletes several objects at once.
        .with_disable_bulk_delete(true)
        .with_retry(retries(options.retries.unwrap_or(RETRIES)))
        .with_client_options(http::client(&options.http, options.insecure && has_keys)?)
        .with_allow_http(options.insecure);
    builder = if has_keys {
        let keys = builder
            .with_access_key_id(&options.access_key_id)
            .with_secret_access_key(options.secret_access_key.expose());
        match options.session_token.expose() {
            "" => keys,
            token => keys.with_token(token),
        }
    } else {
        with_credentials_of_environment(builder)
    };
    if !options.sts_endpoint.is_empty() {
        builder = builder.with_config(AmazonS3ConfigKey::StsEndpoint, &options.sts_endpoint);
    }
    builder = match &options.sse {
        Sse::None => builder,
        Sse::S3 => {
            let key = "aws_server_side_encryption".parse();
            let key = key.map_err(cannot_open(&options.bucket_name))?;
            builder.with_config(key, "AES256")
        }
        Sse::Kms(key) => builder.with_sse_kms_encryption(key),
    };
    let client_options = http::client(&options.http, options.insecure && has_keys)?;
    let client = match http::connector(&options.http)? {
        Some(connector) => {
            let client = connector.connect(&client_options);
            builder = builder.with_http_connector(connector);
            client
        }
        None => ReqwestConnector::default().connect(&client_options),
    };
    let client = client.map_err(cannot_open(&options.bucket_name))?;
    let store = Arc::new(builder.build().map_err(cannot_open(&options.bucket_name))?);
    let bucket_url = match address.is_virtual_hosted {
        true => format!("{}/", address.endpoint),
        false => format!("{}/{}", address.endpoint, options.bucket_name),
    };
    let (store_of_uploads, region) = (Arc::clone(&store), address.region);
    let unfinished = UnfinishedUploads { store: store_of_uploads, client, bucket_url, region };
    let part_bytes = match usize::try_from(options.part_bytes) {
        Ok(0) | Err(_) => PART_BYTES,
        Ok(bytes) => bytes,
    };
    let attributes = attributes(&options.storage_class);
    Ok(Backend {
        attributes,
        part_bytes,
        is_traced: options.trace,
        unfinished: Some(unfinished),
        ..Backend::plain(http::limited(store, &options.http))
    })
}

fn attributes(storage_class: &str) -> Attributes {
    let mut attributes = Attributes::new();
    if !storage_class.is_empty() {
        attributes.insert(Attribute::StorageClass, storage_class.to_owned().into());
    }
    attributes
}

fn with_credentials_of_environment(mut builder: AmazonS3Builder) -> AmazonS3Builder {
    let environment = AmazonS3Builder::from_env();
    for key in CREDENTIALS {
        if let Some(value) = environment.get_config_value(key) {
            builder = builder.with_config(*key, value);
        }
    }
    builder
}

/// Where requests go.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    region: String,
    /// With the bucket's name where that stands in the host.
    endpoint: String,
    is_virtual_hosted: bool,
}

impl Address {
    fn of(options: &S3Options) -> Self {
        let host = options.endpoint.as_str();
        let is_amazon = host.is_empty() || host.ends_with(".amazonaws.com");
        let region = match (options.region.as_str(), region_of(host)) {
            ("", Some(region)) => region.to_owned(),
            ("", None) => "us-east-1".to_owned(),
            (region, _) => region.to_owned(),
        };
        let bucket = &options.bucket_name;
        let is_virtual_hosted = match options.lookup {
            // The certificate is not for a host with further dots.
            BucketLookup::Auto => is_amazon && !bucket.contains('.'),
            BucketLookup::Path => false,
            BucketLookup::VirtualHosted => true,
        };
        let scheme = if options.insecure { "http" } else { "https" };
        let is_standard =
            host == "s3.amazonaws.com" || host == format!("s3.{region}.amazonaws.com");
        let host = match host {
            _ if options.dualstack && (host.is_empty() || is_standard) => {
                format!("s3.dualstack.{region}.amazonaws.com")
            }
            "" => format!("s3.{region}.amazonaws.com"),
            host => host.to_owned(),
        };
        let endpoint = if is_virtual_hosted {
            format!("{scheme}://{bucket}.{host}")
        } else {
            format!("{scheme}://{host}")
        };
        Self { region, endpoint, is_virtual_hosted }
    }
}

/// The region in a host of Amazon such as `s3.eu-west-1.amazonaws.com`.
fn region_of(host: &str) -> Option<&str> {
    let front = host.strip_suffix(".amazonaws.com")?;
    let region = front.rsplit('.').next()?;
    (region != "s3" && region != front).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: &str, region: &str, lookup: BucketLookup, want: (&str, &str, bool)) {
        let options = S3Options {
            endpoint: endpoint.to_owned(),
            region: region.to_owned(),
            bucket_name: "b".to_owned(),
            lookup,
            ..S3Options::default()
        };
        let (region, endpoint, is_virtual_hosted) = want;
        let (region, endpoint) = (region.to_owned(), endpoint.to_owned());
        assert_eq!(Address::of(&options), Address { region, endpoint, is_virtual_hosted });
    }

    #[test]
    fn requests_go_to_the_right_host() {
        use BucketLookup::{Auto, Path, VirtualHosted};
        check("", "", Auto, ("us-east-1", "https://b.s3.us-east-1.amazonaws.com", true));
        check("", "eu-west-1", Path, ("eu-west-1", "https://s3.eu-west-1.amazonaws.com", false));
        let dual = "s3.dualstack.eu-west-1.amazonaws.com";
        check(dual, "", Path, ("eu-west-1", "https://s3.dualstack.eu-west-1.amazonaws.com", false));
        check("s3.amazonaws.com", "", Auto, ("us-east-1", "https://b.s3.amazonaws.com", true));
        check("minio:9000", "", Auto, ("us-east-1", "https://minio:9000", false));
        check("minio:9000", "x", VirtualHosted, ("x", "https://b.minio:9000", true));
    }

    #[test]
    fn addresses_of_amazon_speak_both_protocols_where_that_is_wanted() {
        for (endpoint, want) in [
            ("", "https://s3.dualstack.eu-west-1.amazonaws.com"),
            ("s3.amazonaws.com", "https://s3.dualstack.eu-west-1.amazonaws.com"),
            ("s3.eu-west-1.amazonaws.com", "https://s3.dualstack.eu-west-1.amazonaws.com"),
            (
                "vpce-1.s3.eu-west-1.vpce.amazonaws.com",
                "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com",
            ),
            ("minio:9000", "https://minio:9000"),
        ] {
            let options = S3Options {
                endpoint: endpoint.to_owned(),
                region: "eu-west-1".to_owned(),
                lookup: BucketLookup::Path,
                dualstack: true,
                ..S3Options::default()
            };
            assert_eq!(Address::of(&options).endpoint, want);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let options = S3Options {
            secret_access_key: Hidden::new("hunter2"),
            session_token: Hidden::new("hunter2"),
            ..S3Options::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}

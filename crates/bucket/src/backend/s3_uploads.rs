//! Uploads in parts that nobody has finished: the parts that a killed process has left in S3,
//! which take room and which no list of objects shows. Found and aborted for the cleaner, through
//! [`crate::Bucket::remove_staged`].
//!
//! The storage's library lists no uploads, so that request is made and signed here. It must never
//! abort an upload that may still be under way: only those that began long enough ago.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use model::TimestampMs;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{Error, Result};

/// Pages of a list that are read at a time; what is left is found the next time.
const MAX_PAGES: usize = 100;

/// Finds and aborts uploads of one bucket.
#[derive(Debug)]
pub(crate) struct UnfinishedUploads {
    pub(super) store: Arc<AmazonS3>,
    pub(super) client: HttpClient,
    /// The address of the bucket, its name included, and a slash where it has none in its path.
    pub(super) bucket_url: String,
    pub(super) region: String,
}

/// One page of the list.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    #[serde(rename = "Upload")]
    uploads: Vec<Upload>,
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    /// RFC 3339.
    initiated: String,
}

impl UnfinishedUploads {
    /// Aborts the uploads below `prefix` that began before `before_ms`. Returns how many. None
    /// where the storage cannot list uploads.
    pub(crate) async fn abort(&self, prefix: &Path, before_ms: TimestampMs) -> Result<u64> {
        let mut aborted = 0;
        let mut page = Page::default();
        for _ in 0..MAX_PAGES {
            let Some(next) = self.page_after(prefix, &page).await? else { break };
            page = next;
            for upload in &page.uploads {
                if upload.initiated_ms()? < before_ms {
                    aborted += u64::from(self.abort_one(prefix, upload).await?);
                }
            }
            if !page.is_truncated {
                break;
            }
        }
        Ok(aborted)
    }

    /// False where somebody else was faster.
    async fn abort_one(&self, prefix: &Path, upload: &Upload) -> Result<bool> {
        let path = Path::parse(&upload.key)?;
        if !path.prefix_matches(prefix) {
            return Err(failed(format!("a list of uploads below {prefix} names {path}")));
        }
        match self.store.abort_multipart(&path, &upload.upload_id).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn page_after(&self, prefix: &Path, last: &Page) -> Result<Option<Page>> {
        let mut url = format!("{}?uploads=&prefix={}", self.bucket_url, escaped(prefix.as_ref()));
        url.push_str("%2F");
        if !last.next_key_marker.is_empty() {
            let key = escaped(&last.next_key_marker);
            let id = escaped(&last.next_upload_id_marker);
            url = format!("{url}&key-marker={key}&upload-id-marker={id}");
        }
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().map_err(failed)?;
        let credential = self.store.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(failed)?;
        let response = self.client.execute(request).await.map_err(failed)?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(failed)?;
        match status {
            StatusCode::OK => page_of(&String::from_utf8_lossy(&body)).map(Some),
            // Not everything that speaks S3 can do this.
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            status => {
                let text: String = String::from_utf8_lossy(&body).chars().take(300).collect();
                Err(failed(format!("list of unfinished uploads: {status}: {text}")))
            }
        }
    }
}

impl Upload {
    fn initiated_ms(&self) -> Result<TimestampMs> {
        let initiated: jiff::Timestamp = self.initiated.parse().map_err(failed)?;
        Ok(initiated.as_millisecond())
    }
}

fn page_of(xml: &str) -> Result<Page> {
    quick_xml::de::from_str(xml).map_err(failed)
}

fn failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Generic { store: "S3", source: error.into() }
}

/// As part of a query, in the one way that signatures are computed of.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_uploads_is_read() {
        let page = page_of(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>blocks</Bucket><KeyMarker></KeyMarker><UploadIdMarker/>
              <NextKeyMarker>o&apos;hara/01/index</NextKeyMarker>
              <NextUploadIdMarker>b+/=</NextUploadIdMarker>
              <MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>
              <Upload>
                <Key>a/01/chunks/000001</Key><UploadId>x</UploadId>
                <Initiator><ID>1</ID><DisplayName>n</DisplayName></Initiator>
                <StorageClass>STANDARD</StorageClass>
                <Initiated>2010-11-10T20:48:33.000Z</Initiated>
              </Upload>
              <Upload>
                <Key>o&apos;hara/01/index</Key><UploadId>b+/=</UploadId>
                <Initiated>2026-01-02T03:04:05Z</Initiated>
              </Upload>
            </ListMultipartUploadsResult>"#,
        )
        .unwrap();
        assert!(page.is_truncated);
        assert_eq!(page.next_key_marker, "o'hara/01/index");
        assert_eq!(page.next_upload_id_marker, "b+/=");
        assert_eq!(page.uploads[0].initiated_ms().unwrap(), 1_289_422_113_000);
        assert_eq!(
            (&*page.uploads[1].key, &*page.uploads[1].upload_id),
            ("o'hara/01/index", "b+/=")
        );
        let empty = page_of(
            "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        );
        let empty = empty.unwrap();
        assert!(empty.uploads.is_empty() && !empty.is_truncated);
        assert!(page_of("<html>").is_err());
    }

    #[test]
    fn queries_are_escaped_as_they_are_signed() {
        assert_eq!(escaped("a/(b)*~+='"), "a%2F%28b%29%2A~%2B%3D%27");
    }
}

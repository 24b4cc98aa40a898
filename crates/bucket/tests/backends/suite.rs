//! What every storage must do. Each part uses keys of its own, so that a storage is only needed
//! once.

use std::path::Path;

use bucket::{
    Bucket, BucketError, BucketIndex, Conditional, DeletionMark, Expected, NoCompactMark,
    NoCompactReason, ObjectVersion, TenantBucket, upload_block,
};
use bytes::Bytes;
use futures::future::join_all;
use model::TenantId;
use ulid::Ulid;

/// Every character that a tenant's id may have.
const TENANT: &str = "aZ09!-_.*'()";
/// Larger than two parts of an upload.
const LARGE_BYTES: usize = (11 << 20) + 7;

pub(crate) async fn run(bucket: &Bucket) {
    objects(bucket).await;
    ranges(bucket).await;
    lists(bucket).await;
    files(bucket).await;
    conditional(bucket).await;
    racing_writers(bucket).await;
    blocks(bucket).await;
}

fn is_missing<T: std::fmt::Debug>(result: Result<T, BucketError>) -> bool {
    let error = result.unwrap_err();
    if !error.is_not_found() {
        eprintln!("{error}");
    }
    error.is_not_found()
}

async fn objects(bucket: &Bucket) {
    let key = format!("{TENANT}/objects/one");
    assert!(is_missing(bucket.get(&key).await));
    assert!(is_missing(bucket.get_range(&key, 0..1).await));
    assert!(is_missing(bucket.info(&key).await));
    assert!(!bucket.exists(&key).await.unwrap());
    bucket.delete(&key).await.unwrap();
    for data in ["first", "", "a longer second"] {
        bucket.put(&key, Bytes::from(data)).await.unwrap();
        assert_eq!(bucket.get(&key).await.unwrap(), data);
        let info = bucket.info(&key).await.unwrap();
        assert_eq!((info.key.as_str(), info.size_bytes), (key.as_str(), data.len() as u64));
        assert!(info.last_modified_ms > 1_600_000_000_000, "{info:?}");
        assert!(bucket.exists(&key).await.unwrap());
    }
    bucket.delete(&key).await.unwrap();
    bucket.delete(&key).await.unwrap();
    assert!(is_missing(bucket.get(&key).await));
    assert!(!bucket.exists(&key).await.unwrap());
}

async fn ranges(bucket: &Bucket) {
    let key = format!("{TENANT}/ranges/one");
    let data: Vec<u8> = (0..1000u32).map(|i| (i % 251) as u8).collect();
    bucket.put(&key, data.clone().into()).await.unwrap();
    for (start, end) in [(0, 1000), (0, 1), (999, 1000), (17, 700)] {
        let part = bucket.get_range(&key, start..end).await.unwrap();
        assert_eq!(part, data[start as usize..end as usize]);
    }
    assert_eq!(bucket.get_range(&key, 990..5000).await.unwrap(), data[990..]);
    let beyond = bucket.get_range(&key, 1000..1001).await;
    assert!(!beyond.unwrap_err().is_not_found());
}

async fn lists(bucket: &Bucket) {
    let dir = format!("{TENANT}/lists");
    assert_eq!(bucket.list(&dir).await.unwrap(), []);
    assert!(bucket.list_dirs(&dir).await.unwrap().is_empty());
    for key in ["b/2/x", "a", "b/1", "c/1", "b-1/0", "b/10"] {
        bucket.put(&format!("{dir}/{key}"), Bytes::from_static(b"12")).await.unwrap();
    }
    bucket.put(&format!("{TENANT}/lists-2"), Bytes::new()).await.unwrap();
    let listed = bucket.list(&dir).await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["a", "b-1/0", "b/1", "b/10", "b/2/x", "c/1"]);
    assert!(listed.iter().all(|object| object.size_bytes == 2));
    assert_eq!(bucket.list_dirs(&dir).await.unwrap(), ["b", "b-1", "c"]);
    assert_eq!(bucket.list_dirs("").await.unwrap(), [TENANT]);
    let nested = bucket.list(&format!("{dir}/b")).await.unwrap();
    assert_eq!(nested.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["1", "10", "2/x"]);
}

async fn files(bucket: &Bucket) {
    let local = tempfile::tempdir().unwrap();
    for size in [0, 10, 8 << 20, LARGE_BYTES] {
        let (from, to) = (local.path().join("from"), local.path().join("deep/to"));
        let data: Vec<u8> = (0..size).map(|i| (i * 7 % 253) as u8).collect();
        std::fs::write(&from, &data).unwrap();
        let key = format!("{TENANT}/files/{size}");
        assert_eq!(bucket.put_file(&key, &from).await.unwrap(), size as u64);
        assert_eq!(bucket.get_file(&key, &to).await.unwrap(), size as u64);
        assert!(std::fs::read(&to).unwrap() == data, "{size}");
        assert_eq!(bucket.info(&key).await.unwrap().size_bytes, size as u64);
    }
    let missing = bucket.put_file(&format!("{TENANT}/files/none"), Path::new("/nowhere")).await;
    assert!(matches!(missing, Err(BucketError::LocalFile { .. })));
    assert!(!bucket.exists(&format!("{TENANT}/files/none")).await.unwrap());
}

async fn conditional(bucket: &Bucket) {
    let key = format!("{TENANT}/conditional/one");
    let put = async |data: &'static str, expected: Expected<'_>| {
        bucket.put_if(&key, Bytes::from_static(data.as_bytes()), expected).await
    };
    assert!(is_missing(bucket.get_versioned(&key).await));
    put("1", Expected::Absent).await.unwrap();
    assert!(put("2", Expected::Absent).await.unwrap_err().is_conflict());
    let first = bucket.get_versioned(&key).await.unwrap();
    assert_eq!(first.data, "1");
    let again = bucket.get_if_changed(&key, first.version.e_tag()).await.unwrap();
    assert_eq!(again, Conditional::Unchanged);
    put("2", Expected::Version(&first.version)).await.unwrap();
    assert!(put("3", Expected::Version(&first.version)).await.unwrap_err().is_conflict());
    let changed = bucket.get_if_changed(&key, first.version.e_tag()).await.unwrap();
    assert!(matches!(changed, Conditional::Changed(data, _) if data == "2"));
    let second = bucket.get_versioned(&key).await.unwrap();
    bucket.delete(&key).await.unwrap();
    assert!(is_missing(bucket.get_if_changed(&key, second.version.e_tag()).await));
    let gone = put("4", Expected::Version(&second.version)).await.unwrap_err();
    assert!(gone.is_conflict() || gone.is_not_found(), "{gone}");
    assert!(!bucket.exists(&key).await.unwrap());
}

/// Writers that count one up each, all at once: none may be lost.
async fn racing_writers(bucket: &Bucket) {
    const WRITERS: usize = 6;
    let key = format!("{TENANT}/conditional/count");
    let read = async || -> (usize, Option<ObjectVersion>) {
        match bucket.get_versioned(&key).await {
            Ok(found) => {
                let text = String::from_utf8(found.data.to_vec()).unwrap();
                (text.parse().unwrap(), Some(found.version))
            }
            Err(error) => {
                assert!(error.is_not_found(), "{error}");
                (0, None)
            }
        }
    };
    let count_up = async || loop {
        let (count, version) = read().await;
        let expected = version.as_ref().map_or(Expected::Absent, Expected::Version);
        match bucket.put_if(&key, (count + 1).to_string().into(), expected).await {
            Ok(_) => return,
            Err(error) => assert!(error.is_conflict(), "{error}"),
        }
    };
    join_all((0..WRITERS).map(|_| count_up())).await;
    assert_eq!(read().await.0, WRITERS);
}

async fn blocks(bucket: &Bucket) {
    let tenant = TenantBucket::new(bucket.clone(), TenantId::new("blocks").unwrap());
    let (id, local) = (Ulid(7), tempfile::tempdir().unwrap());
    std::fs::create_dir(local.path().join("chunks")).unwrap();
    for (name, data) in [("chunks/000001", "chunks"), ("chunks/000002", "more"), ("index", "i")] {
        std::fs::write(local.path().join(name), data).unwrap();
    }
    let upload = async || {
        upload_block(&tenant, (id, local.path()), 3, |_| Ok(Bytes::from_static(b"{}"))).await
    };
    assert!(!tenant.has_block(id).await.unwrap());
    upload().await.unwrap();
    upload().await.unwrap();
    assert!(tenant.has_block(id).await.unwrap());
    assert_eq!(tenant.block_ids().await.unwrap(), [id]);
    let chunks = tenant.read(&tenant.block(id).chunks(1), 1..3).await.unwrap();
    assert_eq!(&chunks[..], b"or");

    let mark = DeletionMark::new(id, 5000, "");
    tenant.put_mark(id, &mark).await.unwrap();
    let none = std::collections::HashMap::new();
    assert_eq!(tenant.marks(&none).await.unwrap(), [(id, mark)].into());
    let kept = NoCompactMark::new(id, 5000, (NoCompactReason::Manual, "why"));
    tenant.put_mark(id, &kept).await.unwrap();
    assert_eq!(tenant.block_mark::<NoCompactMark>(id).await.unwrap(), Some(kept));
    tenant.delete_mark::<DeletionMark>(id).await.unwrap();
    assert_eq!(tenant.block_mark::<DeletionMark>(id).await.unwrap(), None);

    let index = BucketIndex::empty(7);
    tenant.put_bucket_index(&index).await.unwrap();
    assert_eq!(tenant.bucket_index().await.unwrap(), Some(index));
    for object in bucket.list("blocks").await.unwrap() {
        bucket.delete(&format!("blocks/{}", object.key)).await.unwrap();
    }
    assert_eq!(tenant.block_ids().await.unwrap(), []);
    assert_eq!(tenant.bucket_index().await.unwrap(), None);
}

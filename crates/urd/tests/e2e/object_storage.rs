//! A whole server on S3: what was pushed and flushed is answered from the bucket alone, with and
//! without memcached in between, and when memcached dies.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use bucket::testing::S3Server;
use serde_json::Value;

use crate::blocks::{answers, assert_same, complete_blocks};
use crate::dataset::{self, INTERVAL_MS};
use crate::harness::{self, Server};
use crate::remote_write;

/// As in `blocks`.
const START_MS: i64 = crate::blocks::START_MS;
const SAMPLES: i64 = 5 * 3600 * 1000 / INTERVAL_MS;
pub(crate) const PREFIX: &str = "mimir1";

#[test]
fn a_server_on_s3_answers_from_the_bucket_alone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let s3 = runtime.block_on(S3Server::start()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = options(&s3);
    let mut urd = harness::urd(dir.path(), &as_strs(&options));
    for request in dataset::requests(START_MS, SAMPLES) {
        let answer = remote_write::push(&urd, "/api/v1/push", &request);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let before = answers(&urd, "/prometheus");
    assert_eq!(urd.get("/ingester/flush?wait=true").status / 100, 2);
    let tenant = s3.objects().join(PREFIX).join("anonymous");
    urd.wait_until("three blocks in the bucket", || complete_blocks(&tenant).len() >= 3);
    assert_eq!(urd.terminate(), Some(0), "{}", urd.log());
    assert!(!dir.path().join("blocks").is_dir(), "no directory is used as bucket");

    std::fs::remove_dir_all(dir.path().join("tsdb")).unwrap();
    let mut urd = harness::urd(dir.path(), &as_strs(&options));
    assert_same(&before, &answers(&urd, "/prometheus"), "from the bucket");
    assert_eq!(urd.terminate(), Some(0), "{}", urd.log());
    tools(&options);
    with_memcached(dir.path(), options, &before);
}

/// `urd bucket` looks at what the server has left.
fn tools(options: &[String]) {
    let run = |command: &str, operands: &[&str]| {
        let mut args = vec!["bucket", command];
        args.extend(as_strs(options));
        args.extend(operands);
        let output = Command::new(env!("CARGO_BIN_EXE_urd")).args(args).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_right, tenants) = run("list", &[]);
    assert!(is_right && tenants.starts_with("anonymous\t"), "{tenants}");
    let (is_right, rebuilt) = run("rebuild-index", &["anonymous"]);
    assert!(is_right && rebuilt.starts_with("anonymous: bucket index with "), "{rebuilt}");
    assert_eq!(run("verify", &[]), (true, "anonymous: OK\n".to_owned()));
    let (_, blocks) = run("list", &["anonymous"]);
    let block = blocks.lines().nth(1).unwrap().split('\t').next().unwrap();
    let (is_right, description) = run("block", &["anonymous", block]);
    assert!(is_right && description.contains("\nindex\t"), "{description}");
}

fn with_memcached(dir: &Path, mut options: Vec<String>, before: &[Value]) {
    let Some((mut memcached, port)) = memcached(dir, 64) else { return };
    for cache in ["chunks-cache", "metadata-cache"] {
        let flag = format!("-blocks-storage.bucket-store.{cache}");
        options.push(format!("{flag}.backend=memcached"));
        options.push(format!("{flag}.memcached.addresses=127.0.0.1:{port}"));
        // Machines of tests are slow.
        options.push(format!("{flag}.memcached.timeout=10s"));
    }
    let urd = harness::urd(dir, &as_strs(&options));
    assert_same(before, &answers(&urd, "/prometheus"), "with an empty memcached");
    urd.wait_until("a query that reads nothing from the bucket", || {
        let reads = range_reads(&urd);
        assert_same(before, &answers(&urd, "/prometheus"), "with memcached");
        reads == range_reads(&urd)
    });
    memcached.kill().unwrap();
    memcached.wait().unwrap();
    assert_same(before, &answers(&urd, "/prometheus"), "after the death of memcached");
}

/// How often parts of objects were read from the bucket.
fn range_reads(urd: &Server) -> String {
    let metrics = urd.get("/metrics").body;
    let is_wanted = |line: &&str| {
        line.starts_with("thanos_objstore_bucket_operations_total{")
            && line.contains("get_range")
            && line.contains("store-gateway")
    };
    metrics.lines().find(is_wanted).expect("parts of objects were read").to_owned()
}

/// The bucket's options are those of `common`: every component's bucket starts from them.
pub(crate) fn options(s3: &S3Server) -> Vec<String> {
    let [access_key, secret_key, bucket] = s3.names();
    vec![
        "-common.storage.backend=s3".to_owned(),
        format!("-common.storage.s3.endpoint={}", s3.endpoint()),
        "-common.storage.s3.insecure=true".to_owned(),
        format!("-common.storage.s3.access-key-id={access_key}"),
        format!("-common.storage.s3.secret-access-key={secret_key}"),
        format!("-blocks-storage.s3.bucket-name={bucket}"),
        format!("-blocks-storage.storage-prefix={PREFIX}"),
    ]
}

pub(crate) fn as_strs(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// A memcached and its port; `None` where the program is missing.
pub(crate) fn memcached(dir: &Path, megabytes: u64) -> Option<(Killed, u16)> {
    let port_file = dir.join("memcached-port");
    let mut command = Command::new("memcached");
    let megabytes = megabytes.to_string();
    command.args(["-l", "127.0.0.1", "-U", "0", "-m", &megabytes, "-u", "root", "-p", "-1"]);
    command.env("MEMCACHED_PORT_FILENAME", &port_file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else {
        eprintln!("SKIPPED: the program memcached is not installed");
        return None;
    };
    let child = Killed(child);
    let deadline = std::time::Instant::now() + harness::PATIENCE;
    loop {
        let text = std::fs::read_to_string(&port_file).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix("TCP INET: "));
        if let Some(port) = found.and_then(|port| port.trim().parse().ok()) {
            return Some((child, port));
        }
        assert!(std::time::Instant::now() < deadline, "memcached does not listen");
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

/// A child that is killed when it is dropped.
pub(crate) struct Killed(Child);

impl std::ops::Deref for Killed {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

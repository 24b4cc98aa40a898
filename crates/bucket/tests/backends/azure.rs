//! Azure Blob Storage against Azurite. Where that is not installed the test says so loudly and
//! returns. `cargo xtask deps` installs it where npm is.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bucket::{AzureOptions, BucketOptions, Hidden};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The account that every Azurite has; its key is published.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const CONTAINER: &str = "blocks";

#[tokio::test(flavor = "multi_thread")]
async fn azurite() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_server, endpoint)) = start(dir.path().to_owned()).await else { return };
    make_container(&endpoint).await;
    let connection = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint}");
    let azure = AzureOptions {
        connection_string: Hidden::new(&connection),
        container_name: CONTAINER.to_owned(),
        max_retries: 3,
        ..AzureOptions::default()
    };
    let options = BucketOptions::Azure { azure: Box::new(azure), storage_prefix: "pre".to_owned() };
    super::suite::run(&super::open(&options)).await;
}

/// The program in the path, or where `cargo xtask deps` puts it.
fn program() -> PathBuf {
    let own =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/servers/node_modules/.bin/azurite-blob");
    let own = PathBuf::from(own);
    if own.try_exists().unwrap_or(false) { own } else { "azurite-blob".into() }
}

/// The server with what it prints, which must stay open: it ends when it cannot print.
type Running = (Child, Lines<BufReader<ChildStdout>>);

async fn start(dir: PathBuf) -> Option<(Running, String)> {
    let mut command = Command::new(program());
    command.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--skipApiVersionCheck"]);
    command.args(["--disableTelemetry", "--location"]).arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let Ok(mut child) = command.spawn() else {
        eprintln!("SKIPPED: the program azurite-blob is not installed");
        return None;
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once(" listens on ") {
                return address.trim().to_owned();
            }
        }
        panic!("azurite ended")
    };
    let address = rt::time::timeout(Duration::from_secs(120), address).await.unwrap();
    Some(((child, lines), format!("{address}/{ACCOUNT}")))
}

/// Makes the container by one signed request: Azurite runs on node, so that is there as well.
async fn make_container(endpoint: &str) {
    const SCRIPT: &str = r#"
        const [endpoint, account, key, container] = process.argv.slice(1);
        const crypto = require('crypto'), http = require('http');
        const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-12-02' };
        const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('');
        const resource = `/${account}/${account}/${container}\nrestype:container`;
        const text = 'PUT' + '\n'.repeat(12) + lines + resource;
        const hmac = crypto.createHmac('sha256', Buffer.from(key, 'base64'));
        const signature = hmac.update(text, 'utf8').digest('base64');
        headers.Authorization = `SharedKey ${account}:${signature}`;
        headers['Content-Length'] = 0;
        const url = `${endpoint}/${container}?restype=container`;
        http.request(url, { method: 'PUT', headers }, (answer) => {
            answer.pipe(process.stderr);
            process.exitCode = answer.statusCode === 201 ? 0 : 1;
        }).end();
    "#;
    let mut command = Command::new("node");
    command.args(["-e", SCRIPT, endpoint, ACCOUNT, KEY, CONTAINER]);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

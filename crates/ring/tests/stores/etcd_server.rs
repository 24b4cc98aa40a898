//! etcd, as a server of its own on free ports.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ring::kv::{EtcdOptions, EtcdStore, Store};
use rt::time::sleep;

use crate::suite;

struct Server {
    child: Child,
    endpoint: String,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `None`, said loudly, where etcd is not installed.
fn start() -> Option<Server> {
    let data = tempfile::tempdir().unwrap();
    let (client, peer) = (free_port(), free_port());
    let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
    let started = Command::new("etcd")
        .arg("--data-dir")
        .arg(data.path())
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        eprintln!("SKIPPED: etcd is not installed (cargo xtask deps)");
        return None;
    };
    let endpoint = client.trim_start_matches("http://").to_owned();
    Some(Server { child, endpoint, _data: data })
}

async fn connect(endpoints: &[&str]) -> Arc<EtcdStore> {
    let endpoints = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
    let options = EtcdOptions { endpoints, ..EtcdOptions::default() };
    let store = Arc::new(EtcdStore::new(&options).unwrap());
    for _ in 0..300 {
        if store.list("").await.is_ok() {
            return store;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd does not answer");
}

#[tokio::test]
async fn etcd_does_what_every_store_does() {
    let Some(server) = start() else { return };
    // The first endpoint does not answer: the next one is used.
    let dead = format!("127.0.0.1:{}", free_port());
    let store = connect(&[&dead, &server.endpoint]).await;
    suite::check(store.clone()).await;
    let client = suite::client(store);
    client.delete("ring").await.unwrap();
    assert_eq!(client.get("ring").await.unwrap(), None);
    let options = EtcdOptions { endpoints: vec![dead], max_retries: 1, ..EtcdOptions::default() };
    let unreachable = suite::client(Arc::new(EtcdStore::new(&options).unwrap()));
    assert!(unreachable.get("ring").await.is_err());
    assert!(EtcdStore::new(&EtcdOptions::default()).is_err());
}

/// As with Mimir's client: processes and etcd may be started at the same time.
#[tokio::test]
async fn an_etcd_that_does_not_listen_yet_is_waited_for() {
    let Some(server) = start() else { return };
    let endpoints = vec![server.endpoint.clone()];
    let options = EtcdOptions { endpoints, max_retries: 60, ..EtcdOptions::default() };
    let client = suite::client(Arc::new(EtcdStore::new(&options).unwrap()));
    assert_eq!(client.get("ring").await.unwrap(), None);
}

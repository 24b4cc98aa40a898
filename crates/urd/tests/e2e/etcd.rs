//! A real etcd, where rings and elected replicas can be kept.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// etcd on ports that stay its own.
pub(crate) struct Etcd {
    child: Child,
    pub(crate) ports: [u16; 2],
}

impl Etcd {
    /// Begins or goes on with the data below `dir`.
    pub(crate) fn start(dir: &Path, ports: [u16; 2]) -> Self {
        let [client, peer] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(dir.join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self { child: child.unwrap(), ports }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Etcd {
    /// What keeps something in it: `prefix` is that of the options of its store.
    pub(crate) fn options(&self, prefix: &str) -> [String; 2] {
        [
            format!("-{prefix}.store=etcd"),
            format!("-{prefix}.etcd.endpoints=127.0.0.1:{}", self.ports[0]),
        ]
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

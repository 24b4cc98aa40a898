//! Hashes of configuration texts, for the metrics that show whether all processes have the same.

use rt::Metrics;
use rt::metrics::GaugeVec;
use sha2::{Digest, Sha256};

/// A gauge whose only series is 1 and has the hash of a text as its label.
#[derive(Clone)]
pub(crate) struct HashGauge(GaugeVec);

impl HashGauge {
    /// Registers the gauge.
    pub(crate) fn new(metrics: &Metrics, name: &str, help: &str) -> Self {
        Self(metrics.gauge_vec(name, help, &["sha256"]))
    }

    /// Shows the hash of `text`.
    pub(crate) fn set(&self, text: &str) {
        self.0.clear();
        self.0.with(&[&sha256(text)]).set(1);
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    /// From `printf abc | sha256sum`.
    #[test]
    fn as_sha256sum_prints_it() {
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(super::sha256("abc"), want);
    }
}

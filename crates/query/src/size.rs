//! Bounds on what answers about series take in memory, asked while they are put together: by the
//! endpoints of the cardinality API, and where the answers of several ingesters come in.

use config::Limits;
use model::StorageError;

/// Counts bytes up to a limit of the tenant.
#[derive(Debug)]
pub(crate) struct SizeBound {
    bytes: u64,
    limit: u64,
    text: String,
}

impl SizeBound {
    /// Of the labels of active series; 0 is no limit.
    pub(crate) fn of_active_series(limits: &Limits) -> Self {
        let limit = match limits.active_series_results_max_size_bytes {
            0 => u64::MAX,
            limit => limit,
        };
        Self { bytes: 0, limit, text: "response too large".to_owned() }
    }

    /// Of distinct label names and values.
    pub(crate) fn of_label_values(limits: &Limits) -> Self {
        let limit = limits.label_names_and_values_results_max_size_bytes;
        let text = format!("size of distinct label names and values is greater than {limit} bytes");
        Self { bytes: 0, limit, text }
    }

    /// Counts so many more. Beyond the limit it is [`StorageError::Refused`]: no other ingester is
    /// asked in the place of the one whose answer was too much.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), StorageError> {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.bytes > self.limit {
            return Err(StorageError::Refused(self.text.clone()));
        }
        Ok(())
    }
}

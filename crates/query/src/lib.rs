//! The read path: PromQL over HTTP, merging ingesters and long-term storage.

//! The hashes that find an owner in a ring: FNV-1 for series, metadata and blocks, FNV-1a for
//! names of work. Called by distributors for every series: no allocation, one pass.

use model::fnv::Fnv1;

/// The token of a series: tenant, then name and value of every label in order of names, without
/// anything between them. `labels` yields names and values.
pub fn series_token<'a>(tenant: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> u32 {
    series_token_after(tenant_state(tenant), labels)
}

/// What [`series_token_after`] goes on from: the same for all series of a request.
pub fn tenant_state(tenant: &str) -> Fnv1 {
    Fnv1::default().write(tenant.as_bytes())
}

/// The token of a series, after the hash of its tenant.
pub fn series_token_after<'a>(
    tenant: Fnv1,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> u32 {
    let add = |hash: Fnv1, (name, value): (&str, &str)| {
        hash.write(name.as_bytes()).write(value.as_bytes())
    };
    labels.fold(tenant, add).finish()
}

/// The token of a metric's metadata.
pub fn metadata_token(tenant: &str, metric: &str) -> u32 {
    Fnv1::default().write(tenant.as_bytes()).write(metric.as_bytes()).finish()
}

/// The token of a block, by the 16 bytes of its ULID.
pub fn block_token(ulid: [u8; 16]) -> u32 {
    Fnv1::default().write(&ulid).finish()
}

/// The token of a piece of work, by its name: jobs of the compactor, tenants, groups of rules.
pub fn name_token(name: &str) -> u32 {
    name.bytes()
        .fold(2_166_136_261, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the FNV authors' published test suite.
    #[test]
    fn published_vectors() {
        for (input, want) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(name_token(input), want, "{input:?}");
        }
        let labels = [("o", "o"), ("b", ""), ("a", "r")];
        assert_eq!(series_token("f", labels.into_iter()), 0x31f0_b262);
        assert_eq!(metadata_token("foo", "bar"), 0x31f0_b262);
    }
}

//! The metrics of active series. A count of zero is not shown, as in Mimir.

use std::fmt;

use model::TenantId;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use tsdb::head::ActiveCounts;

use crate::active::ActiveFigures;

/// A family of counts: all of a tenant's, and those of each tracker.
struct Family {
    /// Of all; that of the trackers has `_custom_tracker` behind it.
    name: &'static str,
    help: &'static str,
    tracker_help: &'static str,
    value: fn(&ActiveCounts) -> u64,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "cortex_ingester_active_series",
        help: "Series that took a sample lately",
        tracker_help: "Series of a custom tracker that took a sample lately",
        value: |counts| counts.series,
    },
    Family {
        name: "cortex_ingester_active_native_histogram_series",
        help: "Series of native histograms that took a sample lately",
        tracker_help: "Series of native histograms of a custom tracker that took a sample lately",
        value: |counts| counts.native_histograms,
    },
    Family {
        name: "cortex_ingester_active_native_histogram_buckets",
        help: "Buckets of the series of native histograms that took a sample lately",
        tracker_help: "Buckets of the series of native histograms of a custom tracker that took \
                       a sample lately",
        value: |counts| counts.native_histogram_buckets,
    },
];

/// Writes the counts of all tenants.
pub(super) fn encode_active(
    encoder: &mut DescriptorEncoder<'_>,
    tenants: &[(&TenantId, ActiveFigures)],
) -> fmt::Result {
    for family in FAMILIES {
        let all = tenants
            .iter()
            .map(|(id, figures)| ([("user", id.as_str())], (family.value)(&figures.all)));
        encode_counts(encoder, (family.name, family.help), all)?;
        let tracked = tenants.iter().flat_map(|(id, figures)| {
            figures.trackers.iter().map(|(name, counts)| {
                ([("user", id.as_str()), ("name", name.as_str())], (family.value)(counts))
            })
        });
        let name = format!("{}_custom_tracker", family.name);
        encode_counts(encoder, (&name, family.tracker_help), tracked)?;
    }
    Ok(())
}

fn encode_counts<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    counts: impl Iterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut counts = counts.filter(|&(_, count)| count > 0).peekable();
    if counts.peek().is_none() {
        return Ok(());
    }
    let mut metrics = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, count) in counts {
        metrics.encode_family(&labels)?.encode_gauge(&(count as f64))?;
    }
    Ok(())
}

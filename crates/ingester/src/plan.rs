//! What is due, decided from times and states alone: when a head is cut and how, which blocks go
//! to the bucket, which ones leave the local disk, which TSDB is closed. No IO; the shells
//! (`compaction.rs`, `shipper.rs`, `retention.rs`) carry it out.

pub(crate) mod early;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Random, TimestampMs};
use tsdb::db::{BlockInfo, CompactionMode};
use ulid::Ulid;

/// When blocks of a tenant were shipped, ms.
pub(crate) type Shipped = BTreeMap<Ulid, TimestampMs>;

/// The idle timeout of this process: up to a quarter longer than configured, so that tenants that
/// fall silent together are not cut by all ingesters at once. `None` = never idle.
pub(crate) fn jittered_idle_timeout(
    configured: config::GoDuration,
    random: &dyn Random,
) -> Option<Duration> {
    if !configured.is_positive() {
        return None;
    }
    let base_ms = configured.millis().unsigned_abs();
    Some(Duration::from_millis(base_ms.saturating_add(random.below(base_ms / 4 + 1))))
}

/// When heads are looked at for the first time: somewhere in the interval.
pub(crate) fn first_interval(interval: config::GoDuration, random: &dyn Random) -> Duration {
    let interval_ms = interval.millis().max(1).unsigned_abs();
    Duration::from_millis(1 + random.below(interval_ms))
}

/// How the head of a tenant is cut at `now_ms` by the periodic check.
pub(crate) fn compaction_mode(
    last_push_ms: TimestampMs,
    idle_timeout: Option<Duration>,
    now_ms: TimestampMs,
) -> CompactionMode {
    match idle_timeout {
        Some(timeout) if is_past(last_push_ms, timeout, now_ms) => CompactionMode::Idle(timeout),
        _ => CompactionMode::Regular,
    }
}

fn is_past(since_ms: TimestampMs, timeout: Duration, now_ms: TimestampMs) -> bool {
    let elapsed_ms = now_ms.saturating_sub(since_ms);
    i64::try_from(timeout.as_millis()).is_ok_and(|timeout_ms| timeout_ms <= elapsed_ms)
}

/// Whether a block belongs in the bucket: cut from a head and not empty. Blocks of higher levels
/// were made elsewhere.
pub(crate) fn is_shippable(block: &BlockInfo) -> bool {
    block.level == 1 && block.sample_count > 0
}

/// The blocks that are to be uploaded, oldest first.
pub(crate) fn blocks_to_ship(blocks: &[BlockInfo], shipped: &Shipped) -> Vec<BlockInfo> {
    let is_due = |block: &&BlockInfo| is_shippable(block) && !shipped.contains_key(&block.ulid);
    let mut due: Vec<BlockInfo> = blocks.iter().filter(is_due).cloned().collect();
    due.sort_by_key(|block| (block.min_time_ms, block.ulid));
    due
}

/// When the oldest block was made that is still to be uploaded, ms.
pub(crate) fn oldest_unshipped_ms(blocks: &[BlockInfo], shipped: &Shipped) -> Option<TimestampMs> {
    blocks_to_ship(blocks, shipped).iter().map(|block| made_at_ms(block.ulid)).min()
}

/// Shipped blocks that still exist; the others need not be remembered.
pub(crate) fn still_local(shipped: &Shipped, blocks: &[BlockInfo]) -> Shipped {
    let is_local = |id: &Ulid| blocks.iter().any(|block| block.ulid == *id);
    shipped.iter().filter(|(id, _)| is_local(id)).map(|(id, at)| (*id, *at)).collect()
}

/// What the local retention goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// How long a block stays; zero or less keeps all.
    pub(crate) period: config::GoDuration,
    /// Whether blocks are uploaded; then the period begins with the upload, otherwise when the
    /// block was made.
    pub(crate) is_shipping: bool,
}

/// Whether a block may leave the local disk. One that is not in the bucket never does while
/// blocks are uploaded.
pub(crate) fn is_past_retention(
    block: &BlockInfo,
    shipped: &Shipped,
    retention: Retention,
    now_ms: TimestampMs,
) -> bool {
    if !retention.period.is_positive() {
        return false;
    }
    let since_ms = match shipped.get(&block.ulid) {
        Some(shipped_ms) => *shipped_ms,
        // Nothing would ever upload it: it ages like a shipped one.
        None if !retention.is_shipping || !is_shippable(block) => made_at_ms(block.ulid),
        None => return false,
    };
    retention.period.millis() < now_ms.saturating_sub(since_ms)
}

/// What is known of a TSDB that may be closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantActivity {
    pub(crate) last_push_ms: TimestampMs,
    pub(crate) head_series: u64,
    pub(crate) has_unshipped_blocks: bool,
    pub(crate) is_marked_for_deletion: bool,
}

/// What the configuration says about closing TSDBs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClosePolicy {
    /// How long nothing must have been pushed; zero or less closes none.
    pub(crate) idle_timeout: config::GoDuration,
    /// Whether blocks are uploaded.
    pub(crate) is_shipping: bool,
    /// Whether a TSDB is closed although blocks are not uploaded; they are lost then.
    pub(crate) closes_without_shipping: bool,
}

/// Why a TSDB stays open or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCheck {
    /// It can be closed and its directory deleted.
    Idle,
    /// It is closed and deleted with all that is in it.
    MarkedForDeletion,
    NotIdle,
    HeadNotEmpty,
    NotShipped,
    /// Nothing is uploaded: what is here is nowhere else.
    ShippingDisabled,
}

impl CloseCheck {
    /// Whether the TSDB is to be closed.
    pub(crate) fn closes(self) -> bool {
        matches!(self, Self::Idle | Self::MarkedForDeletion)
    }

    /// The value of the label `result` of `cortex_ingester_idle_tsdb_checks_total`, for `Idle`
    /// when the TSDB has been closed.
    pub(crate) fn result(self) -> &'static str {
        match self {
            Self::Idle => "idle_closed",
            Self::MarkedForDeletion => "tenant_marked_for_deletion",
            Self::NotIdle => "not_idle",
            Self::HeadNotEmpty => "not_compacted",
            Self::NotShipped => "not_shipped",
            Self::ShippingDisabled => "shipping_disabled",
        }
    }
}

/// Whether a TSDB is closed and deleted at `now_ms`.
pub(crate) fn close_check(
    tenant: TenantActivity,
    policy: ClosePolicy,
    now_ms: TimestampMs,
) -> CloseCheck {
    if !policy.is_shipping && !policy.closes_without_shipping {
        return CloseCheck::ShippingDisabled;
    }
    if tenant.is_marked_for_deletion {
        return CloseCheck::MarkedForDeletion;
    }
    let timeout = policy.idle_timeout;
    if !timeout.is_positive() || !is_past(tenant.last_push_ms, timeout.std(), now_ms) {
        return CloseCheck::NotIdle;
    }
    if tenant.head_series > 0 {
        return CloseCheck::HeadNotEmpty;
    }
    let is_behind = policy.is_shipping && tenant.has_unshipped_blocks;
    if is_behind { CloseCheck::NotShipped } else { CloseCheck::Idle }
}

/// When a block was made, ms: its id says it.
pub(crate) fn made_at_ms(id: Ulid) -> TimestampMs {
    i64::try_from(id.timestamp_ms()).unwrap_or(TimestampMs::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::GoDuration;
    use model::env::SeededRandom;

    const HOUR_MS: i64 = 3_600_000;

    fn block(made_ms: u64, level: u32, samples: u64) -> BlockInfo {
        BlockInfo {
            ulid: Ulid::from_parts(made_ms, 1),
            dir: "x".into(),
            min_time_ms: made_ms as i64,
            max_time_ms: made_ms as i64 + 1,
            level,
            sample_count: samples,
            series_count: 1,
            size_bytes: 1,
        }
    }

    #[test]
    fn heads_are_cut_as_idle_only_after_the_jittered_timeout() {
        let random = SeededRandom::new(1);
        for _ in 0..100 {
            let timeout = jittered_idle_timeout(GoDuration::from_secs(3600), &random).unwrap();
            assert!((3600.0..=4500.0).contains(&timeout.as_secs_f64()));
        }
        assert_eq!(jittered_idle_timeout(GoDuration::ZERO, &random), None);
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(compaction_mode(0, hour, HOUR_MS - 1), CompactionMode::Regular);
        let idle = CompactionMode::Idle(Duration::from_secs(3600));
        assert_eq!(compaction_mode(0, hour, HOUR_MS), idle);
        assert_eq!(compaction_mode(0, None, i64::MAX), CompactionMode::Regular);
    }

    #[test]
    fn the_first_look_at_heads_is_within_the_interval() {
        let random = SeededRandom::new(1);
        let first = || first_interval(GoDuration::from_secs(60), &random).as_secs_f64();
        let times: Vec<f64> = (0..100).map(|_| first()).collect();
        assert!(times.iter().all(|t| (0.001..=60.0).contains(t)));
        assert!(times.iter().any(|t| *t < 20.0) && times.iter().any(|t| *t > 40.0));
        assert_eq!(first_interval(GoDuration::ZERO, &random), Duration::from_millis(1));
    }

    #[test]
    fn only_full_level_one_blocks_are_shipped_oldest_first() {
        let blocks = [block(3, 1, 1), block(2, 2, 1), block(1, 1, 0), block(0, 1, 1)];
        let shipped = Shipped::from([(blocks[3].ulid, 9)]);
        let due = |shipped: &Shipped| {
            let due = blocks_to_ship(&blocks, shipped);
            due.iter().map(|b| b.min_time_ms).collect::<Vec<_>>()
        };
        assert_eq!(due(&Shipped::new()), [0, 3]);
        assert_eq!(due(&shipped), [3]);
        assert_eq!(oldest_unshipped_ms(&blocks, &Shipped::new()), Some(0));
        assert_eq!(oldest_unshipped_ms(&blocks, &shipped), Some(3));
        assert_eq!(still_local(&shipped, &blocks[..3]), Shipped::new());
        assert_eq!(still_local(&shipped, &blocks), shipped);
    }

    #[test]
    fn blocks_leave_the_disk_a_while_after_their_upload_and_never_before() {
        let period = GoDuration::from_secs(13 * 3600);
        let shipping = Retention { period, is_shipping: true };
        let one = block(0, 1, 1);
        let none = Shipped::new();
        assert!(!is_past_retention(&one, &none, shipping, i64::MAX));
        let shipped = Shipped::from([(one.ulid, HOUR_MS)]);
        assert!(!is_past_retention(&one, &shipped, shipping, 14 * HOUR_MS));
        assert!(is_past_retention(&one, &shipped, shipping, 14 * HOUR_MS + 1));
        let alone = Retention { period, is_shipping: false };
        assert!(!is_past_retention(&one, &none, alone, 13 * HOUR_MS));
        assert!(is_past_retention(&one, &none, alone, 13 * HOUR_MS + 1));
        let for_ever = Retention { period: GoDuration::ZERO, is_shipping: true };
        assert!(!is_past_retention(&one, &shipped, for_ever, i64::MAX));
        assert!(is_past_retention(&block(0, 2, 1), &none, shipping, 14 * HOUR_MS));
    }

    #[test]
    fn a_tsdb_is_closed_when_it_is_idle_empty_and_shipped() {
        let policy = ClosePolicy {
            idle_timeout: GoDuration::from_secs(3600),
            is_shipping: true,
            closes_without_shipping: false,
        };
        let idle = TenantActivity {
            last_push_ms: 0,
            head_series: 0,
            has_unshipped_blocks: false,
            is_marked_for_deletion: false,
        };
        assert_eq!(close_check(idle, policy, HOUR_MS), CloseCheck::Idle);
        assert_eq!(close_check(idle, policy, HOUR_MS - 1), CloseCheck::NotIdle);
        let never = ClosePolicy { idle_timeout: GoDuration::ZERO, ..policy };
        assert_eq!(close_check(idle, never, HOUR_MS), CloseCheck::NotIdle);
        let busy = TenantActivity { head_series: 1, ..idle };
        assert_eq!(close_check(busy, policy, HOUR_MS), CloseCheck::HeadNotEmpty);
        let behind = TenantActivity { has_unshipped_blocks: true, ..idle };
        assert_eq!(close_check(behind, policy, HOUR_MS), CloseCheck::NotShipped);
        let doomed = TenantActivity { is_marked_for_deletion: true, ..busy };
        assert_eq!(close_check(doomed, policy, 0), CloseCheck::MarkedForDeletion);
        let local = ClosePolicy { is_shipping: false, ..policy };
        assert_eq!(close_check(idle, local, HOUR_MS), CloseCheck::ShippingDisabled);
        let local = ClosePolicy { closes_without_shipping: true, ..local };
        assert_eq!(close_check(behind, local, HOUR_MS), CloseCheck::Idle);
        assert_eq!(close_check(busy, local, HOUR_MS), CloseCheck::HeadNotEmpty);
    }
}

//! `urd bucket list|block|verify|rebuild-index`: looks at a bucket that no server need run on. The
//! bucket is where the server's own options say, in flags or in a file.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bucket::{Bucket, BucketMetrics, TenantBucket};
use compactor::inspect::Inspection;
use config::CommandLine;
use model::{Clock as _, TenantId};
use rt::{Metrics, SystemClock};
use ulid::Ulid;

use super::output::Output;
use crate::storage;

pub(super) const USAGE: &str = "\
usage:
  urd bucket list [OPTIONS]                       list tenants
  urd bucket list [OPTIONS] TENANT                list a tenant's blocks
  urd bucket block [OPTIONS] TENANT BLOCK         print a block's description and statistics
  urd bucket verify [-quick] [OPTIONS] [TENANT...]
                                                  tell what is wrong; without tenants, of all.
                                                  Reads all of every block for its checksums
                                                  unless -quick is given
  urd bucket rebuild-index [OPTIONS] TENANT...    write the bucket index anew

OPTIONS are those of the server that say where the bucket is: -config.file, -blocks-storage.*
";

/// Runs a command; whether everything is right.
pub(super) fn run(command: &str, args: &[String], output: &mut Output) -> bool {
    match try_run(command, args, output) {
        Ok(is_right) => is_right,
        Err(error) => {
            output.error(&format!("urd: {error:#}\n"));
            false
        }
    }
}

fn try_run(command: &str, args: &[String], output: &mut Output) -> anyhow::Result<bool> {
    let is_quick = command == "verify" && args.first().is_some_and(|arg| arg == "-quick");
    let (options, operands) = split(&args[usize::from(is_quick)..]);
    let known = ["list", "block", "verify", "rebuild-index"];
    if !known.contains(&command) {
        output.error(USAGE);
        return Ok(false);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    let clock = Arc::new(SystemClock::new());
    let config = CommandLine::parse(options)?.load(&config::process_env)?.resolve()?.config;
    let where_it_is = storage::bucket_options(&config.blocks_storage.bucket)?;
    let metrics = BucketMetrics::new(&Metrics::new(), "tool");
    let bucket = Bucket::open(&where_it_is, Arc::clone(&clock) as _, metrics)?;
    runtime.block_on(async {
        match (command, operands) {
            ("list", []) => list_tenants(&bucket, output).await,
            ("list", [tenant]) => list_blocks(&tenant_of(&bucket, tenant)?, output).await,
            ("block", [tenant, block]) => {
                print_block(&tenant_of(&bucket, tenant)?, block, output).await
            }
            ("verify", []) => {
                let tenants = bucket.list_dirs("").await?;
                verify(&bucket, (&tenants, is_quick), output).await
            }
            ("verify", tenants) => verify(&bucket, (tenants, is_quick), output).await,
            ("rebuild-index", [_, ..]) => rebuild(&bucket, operands, clock.now_ms(), output).await,
            _ => {
                output.error(USAGE);
                Ok(false)
            }
        }
    })
}

/// Options begin with a dash; operands come behind them.
fn split(args: &[String]) -> (&[String], &[String]) {
    let first = args.iter().position(|arg| !arg.starts_with('-')).unwrap_or(args.len());
    args.split_at(first)
}

fn tenant_of(bucket: &Bucket, tenant: &str) -> anyhow::Result<TenantBucket> {
    Ok(TenantBucket::new(bucket.clone(), TenantId::new(tenant)?))
}

/// What stands in the bucket that is no tenant, such as Mimir's own.
fn is_tenant(name: &str) -> bool {
    !name.starts_with("__") && TenantId::new(name).is_ok()
}

async fn list_tenants(bucket: &Bucket, output: &mut Output) -> anyhow::Result<bool> {
    for name in bucket.list_dirs("").await?.iter().filter(|name| is_tenant(name)) {
        let blocks = tenant_of(bucket, name)?.block_ids().await?.len();
        output.print(&format!("{name}\t{blocks} blocks\n"));
    }
    Ok(true)
}

async fn list_blocks(tenant: &TenantBucket, output: &mut Output) -> anyhow::Result<bool> {
    let inspection = Inspection::of(tenant.clone()).await?;
    output.print("BLOCK\tMIN TIME\tMAX TIME\tLEVEL\tSERIES\tSAMPLES\tMARKS\n");
    for block in inspection.blocks() {
        let (meta, mut marks) = (block.meta, Vec::new());
        if block.is_marked_for_deletion {
            marks.push("deletion");
        }
        if block.is_marked_no_compact {
            marks.push("no-compact");
        }
        output.print(&format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
            meta.ulid,
            meta.min_time_ms,
            meta.max_time_ms,
            meta.compaction.level,
            meta.stats.num_series,
            meta.stats.num_samples,
            marks.join(",")
        ));
    }
    Ok(true)
}

async fn print_block(
    tenant: &TenantBucket,
    block: &str,
    output: &mut Output,
) -> anyhow::Result<bool> {
    let id = Ulid::from_string(block).with_context(|| format!("block {block:?}"))?;
    let Some(json) = tenant.meta_json(id).await? else {
        bail!("block {id} of tenant {} has no meta.json", tenant.tenant());
    };
    output.print(&String::from_utf8_lossy(&json));
    output.print("\n\nFILE\tBYTES\n");
    let objects = tenant.bucket().list(&format!("{}/{id}", tenant.tenant())).await?;
    for object in &objects {
        output.print(&format!("{}\t{}\n", object.key, object.size_bytes));
    }
    let total: u64 = objects.iter().map(|object| object.size_bytes).sum();
    output.print(&format!("total\t{total}\n"));
    Ok(true)
}

async fn verify(
    bucket: &Bucket,
    (names, is_quick): (&[String], bool),
    output: &mut Output,
) -> anyhow::Result<bool> {
    let mut is_right = true;
    for name in names.iter().filter(|name| is_tenant(name)) {
        let inspection = Inspection::of(tenant_of(bucket, name)?).await?;
        let mut problems = inspection.problems().await?;
        if !is_quick {
            problems.extend(inspection.damage().await?);
        }
        is_right &= problems.is_empty();
        match problems.is_empty() {
            true => output.print(&format!("{name}: OK\n")),
            false => output.print(&format!("{name}:\n  {}\n", problems.join("\n  "))),
        }
    }
    Ok(is_right)
}

async fn rebuild(
    bucket: &Bucket,
    names: &[String],
    now_ms: i64,
    output: &mut Output,
) -> anyhow::Result<bool> {
    for name in names {
        let index = Inspection::rebuild_index(tenant_of(bucket, name)?, now_ms).await?;
        output.print(&format!("{name}: bucket index with {} blocks\n", index.blocks.len()));
    }
    Ok(true)
}

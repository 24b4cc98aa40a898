//! Writer and reader against a simple model, and damaged files. Prometheus' own file is read and
//! written again in `tests/vectors_blocks`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, MatchOp, Matcher};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::error::TsdbError;
use crate::postings::{
    IndexPostings, label_names_for_matchers, label_values_for_matchers, postings_for_matchers,
};

type Model = Vec<(Labels, Vec<ChunkMeta>)>;

fn labels() -> impl Strategy<Value = Labels> {
    let value = || {
        prop_oneof![
            2 => prop::sample::select(vec!["", "x", "y", "a longer value", "ü"]).prop_map(String::from),
            3 => (0u32..100).prop_map(|i| format!("v{i}")),
        ]
    };
    (value(), value(), value()).prop_map(|(a, b, c)| {
        Labels::from_pairs([
            ("name", a.as_str()),
            ("b", b.as_str()),
            ("ccc", c.as_str()),
            ("z", "1"),
        ])
    })
}

fn model() -> impl Strategy<Value = Model> {
    let gaps = vec((1i64..1000, 0i64..1000, 0u64..5000), 0..4);
    btree_set(labels(), 0..150).prop_flat_map(move |series| {
        let n = series.len();
        vec(gaps.clone(), n..=n).prop_map(move |all| {
            let mut reference = 8;
            let chunks = |gaps: Vec<(i64, i64, u64)>| {
                let mut t = -700;
                let chunk = |(gap, width, bytes)| {
                    let min_time_ms = t + gap;
                    t = min_time_ms + width;
                    reference += bytes;
                    ChunkMeta { min_time_ms, max_time_ms: t, reference }
                };
                gaps.into_iter().map(chunk).collect()
            };
            series.iter().cloned().zip(all.into_iter().map(chunks)).collect()
        })
    })
}

fn write(model: &Model) -> Result<Vec<u8>, TsdbError> {
    let symbols = model.iter().flat_map(|(l, _)| l.iter().flat_map(|l| [l.name, l.value]));
    let mut writer = IndexWriter::new(Vec::new(), SymbolSet::collect(symbols)?)?;
    for (labels, chunks) in model {
        writer.add_series(labels, chunks)?;
    }
    writer.finish()
}

/// Everything that an index tells; for damaged files only that it ends.
fn read(bytes: &[u8]) -> Result<Model, TsdbError> {
    let reader = IndexReader::open(bytes, "test")?;
    let mut model = Model::new();
    let mut row = SeriesRow::default();
    let mut memo = LabelMemo::default();
    for series in reader.all_postings()?.into_vec() {
        reader.series(series, &mut row)?;
        model.push((reader.labels(&row, &mut memo)?, row.chunks.clone()));
    }
    for name in reader.label_names()? {
        for value in label_values_for_matchers(&reader, &name, &[], 0)? {
            reader.postings(&name, &value)?;
        }
    }
    reader.symbols().collect::<Result<Vec<_>, _>>()?;
    Ok(model)
}

proptest! {
    #[test]
    fn what_was_written_is_read(model in model()) {
        let bytes = write(&model).unwrap();
        prop_assert_eq!(&read(&bytes).unwrap(), &model);

        let reader = IndexReader::open(&bytes[..], "test").unwrap();
        let all = reader.all_postings().unwrap().into_vec();
        let mut pairs: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
        for (&series, (labels, _)) in all.iter().zip(&model) {
            for label in labels {
                pairs.entry((label.name, label.value)).or_default().push(series);
            }
        }
        for (&(name, value), series) in &pairs {
            prop_assert_eq!(&reader.postings(name, value).unwrap().into_vec(), series);
        }
        for (name, value) in [("name", "nope"), ("b", "zz"), ("nope", "x"), ("", "x"), ("b", "")] {
            prop_assert!(reader.postings(name, value).unwrap().is_empty());
        }
        let names: BTreeSet<&str> = pairs.keys().map(|p| p.0).collect();
        prop_assert!(reader.names().eq(names.iter().copied()));
        for name in names {
            let mut starting = Vec::new();
            reader.postings_where(name, "v1", &mut |v| { starting.push(v.to_owned()); true }).unwrap();
            let want = pairs.keys().filter(|p| p.0 == name && p.1.starts_with("v1")).map(|p| p.1);
            prop_assert!(starting.iter().eq(want));
            prop_assert_eq!(reader.value_count(name), pairs.keys().filter(|p| p.0 == name).count());
        }
        for symbol in reader.symbols() {
            let symbol = symbol.unwrap();
            let number = reader.symbol_number(symbol).unwrap().unwrap();
            prop_assert_eq!(reader.symbol(number).unwrap(), symbol);
        }
        prop_assert_eq!(reader.symbol_number("no symbol").unwrap(), None);
    }

    #[test]
    fn matchers_select_on_an_index_what_they_select_on_series(model in model()) {
        let bytes = write(&model).unwrap();
        let reader = IndexReader::open(&bytes[..], "test").unwrap();
        let all = reader.all_postings().unwrap().into_vec();
        for (op, name, value) in [
            (MatchOp::Equal, "b", "v1"), (MatchOp::Regex, "b", "v[12].*"), (MatchOp::NotRegex, "ccc", "v1|v2|x"),
            (MatchOp::NotEqual, "name", ""), (MatchOp::Equal, "name", ""), (MatchOp::Regex, "ccc", "v.|"),
        ] {
            let matchers = [Matcher::equal("z", "1"), Matcher::new(op, name, value).unwrap()];
            let hit = |l: &Labels| matchers.iter().all(|m| m.matches(l.value(m.name())));
            let want = all.iter().zip(&model).filter(|(_, (l, _))| hit(l));
            let found = postings_for_matchers(&reader, &matchers).unwrap();
            prop_assert!(found.iter().eq(want.clone().map(|(series, _)| series)));
            let names: BTreeSet<&str> = want.flat_map(|(_, (l, _))| l.iter().map(|l| l.name)).collect();
            prop_assert!(label_names_for_matchers(&reader, &matchers, 0).unwrap().iter().eq(names));
        }
    }

    #[test]
    fn damaged_files_are_errors_or_unharmed(
        model in model(),
        flips in vec((any::<prop::sample::Index>(), 1u8..), 1..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = write(&model).unwrap();
        let _ = read(&bytes[..cut.index(bytes.len())]);
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn damaged_sections_with_right_checksums_do_not_panic(section in vec(any::<u8>(), 0..60)) {
        if let Ok(symbols) = SymbolTable::new(&section) {
            let _ = symbols.find(&section, "x");
            let _ = symbols.get(&section, 1);
        }
        if let Ok(offsets) = PostingsOffsets::new(&section) {
            let _ = offsets.find(&section, "x", "y");
        }
        let _ = decode_series(&section, &mut SeriesRow::default());
        let _ = decode_postings(&section);
        let _ = Toc::decode(&section);
    }
}

#[test]
fn broken_rules_are_refused() {
    let labels = |value| Labels::from_pairs([("a", value)]);
    let chunk =
        |min_time_ms, max_time_ms, reference| ChunkMeta { min_time_ms, max_time_ms, reference };
    let refused = |model: Model| write(&model).unwrap_err().to_string();
    let order = "series {a=\"1\"} is not in label order";
    assert_eq!(refused(vec![(labels("2"), vec![]), (labels("1"), vec![])]), order);
    assert_eq!(refused(vec![(labels("1"), vec![]), (labels("1"), vec![])]), order);
    let chunks = "chunks of series {a=\"1\"} are not in order";
    assert_eq!(refused(vec![(labels("1"), vec![chunk(1, 0, 8)])]), chunks);
    assert_eq!(refused(vec![(labels("1"), vec![chunk(1, 2, 8), chunk(2, 3, 9)])]), chunks);
    assert_eq!(refused(vec![(labels("1"), vec![chunk(1, 2, 8), chunk(3, 3, 7)])]), chunks);
    let mut writer = IndexWriter::new(Vec::new(), SymbolSet::collect(["a"]).unwrap()).unwrap();
    let unknown = writer.add_series(&labels("1"), &[]).unwrap_err().to_string();
    assert_eq!(unknown, "symbol \"1\" was not announced to the index");
    assert!(SymbolSet::from_sorted(["b", "a"]).is_err());
}

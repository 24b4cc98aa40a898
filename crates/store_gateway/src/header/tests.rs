//! The files on local disk against their description, byte by byte.

use std::io::{Read as _, Write as _};

use tsdb::encoding::crc32c;
use tsdb::index::{PostingsOffsets, SymbolTable, Toc};

use super::sparse;
use crate::testing::{ALL_TIME, BlockSpec, Data, World, series};

fn be64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// A world with one block, whose index and index-header are returned.
fn files() -> (Vec<u8>, Vec<u8>) {
    let one = |i| series(&[("__name__", "m"), ("i", &format!("{i:04}"))], [10]);
    let data: Data = (0..100).map(one).collect();
    let world = World::new();
    world.add_block(&BlockSpec::new(1, data));
    world.sync();
    assert!(world.querier(ALL_TIME, &world.context(Default::default())).unwrap().is_some());
    let dir = world.sync_dir.path().join("team").join(ulid::Ulid(1).to_string());
    (world.get(&world.key(1, "index")), std::fs::read(dir.join("index-header")).unwrap())
}

#[test]
fn an_index_header_is_made_of_parts_of_the_index() {
    let (index, header) = files();
    let toc = Toc::decode(&index[index.len() - Toc::LEN..]).unwrap();
    assert_eq!(header[..6], [0xba, 0xaa, 0xd7, 0x92, 1, 2]);
    assert_eq!(be64(&header[6..14]), toc.postings_offsets);
    let toc_at = header.len() - 20;
    assert_eq!(header[toc_at + 16..], crc32c(&header[toc_at..toc_at + 16]).to_be_bytes());
    let symbols_at = be64(&header[toc_at..toc_at + 8]) as usize;
    let offsets_at = be64(&header[toc_at + 8..toc_at + 16]) as usize;
    assert_eq!(symbols_at, 14);
    let symbols = &header[symbols_at..offsets_at];
    assert_eq!(symbols, &index[toc.symbols as usize..][..symbols.len()]);
    let offsets = &header[offsets_at..toc_at];
    assert_eq!(offsets, &index[toc.postings_offsets as usize..index.len() - Toc::LEN]);
}

#[test]
fn the_file_beside_it_remembers_both_tables() {
    let (_, header) = files();
    let sections = super::Sections::find(&header).unwrap();
    let (symbols, offsets) =
        (&header[sections.symbols_at.clone()], &header[sections.offsets_at.clone()]);
    let tables = (SymbolTable::new(symbols).unwrap(), PostingsOffsets::new(offsets).unwrap());
    let bytes = sparse::encode((&tables.0, &tables.1), offsets, sections.lists_end).unwrap();
    let again = sparse::decode(&bytes, (symbols, offsets), 32).unwrap();
    assert_eq!(again.0.samples(), tables.0.samples());
    assert_eq!(again.1.sampled(offsets).unwrap(), tables.1.sampled(offsets).unwrap());
    let mut raw = Vec::new();
    flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut raw).unwrap();
    // Field 1, its length; in it field 1 packed, whose first place is 8: behind length and count.
    assert_eq!((raw[0], raw[2], raw[4]), (0x0a, 0x0a, 8));
    // At the end the sampling: field 2 of the table.
    assert_eq!(raw[raw.len() - 2..], [0x10, 32]);
}

#[test]
fn a_file_beside_it_that_makes_no_sense_is_refused() {
    let (_, header) = files();
    let sections = super::Sections::find(&header).unwrap();
    let (symbols, offsets) =
        (&header[sections.symbols_at.clone()], &header[sections.offsets_at.clone()]);
    let gzip = |bytes: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let tables = (SymbolTable::new(symbols).unwrap(), PostingsOffsets::new(offsets).unwrap());
    let bytes = sparse::encode((&tables.0, &tables.1), offsets, sections.lists_end).unwrap();
    let mut raw = Vec::new();
    flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut raw).unwrap();
    assert!(sparse::decode(&gzip(&raw), (symbols, offsets), 32).is_ok());
    let last = raw.len() - 1;
    // Another sampling is taken where it is finer, by a whole number of times.
    for (wanted, is_right) in [(64, true), (16, false), (48, false), (32, true)] {
        let decoded = sparse::decode(&gzip(&raw), (symbols, offsets), wanted);
        assert_eq!(decoded.is_ok(), is_right, "{wanted}");
        assert!(decoded.is_err() || decoded.is_ok_and(|tables| tables.1.sampling() == wanted));
    }
    // What is stored is something else than it says.
    for sampling in [64, 0] {
        raw[last] = sampling;
        assert!(sparse::decode(&gzip(&raw), (symbols, offsets), 64).is_err());
    }
    for length in 0..last {
        assert!(sparse::decode(&gzip(&raw[..length]), (symbols, offsets), 32).is_err(), "{length}");
    }
    assert!(sparse::decode(b"no gzip", (symbols, offsets), 32).is_err());
}

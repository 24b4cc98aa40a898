//! The encoder of profiles in pprof's protobuf (`profile.proto` of google/pprof), gzipped.
//!
//! ```text
//! Profile  1 sample_type*  2 sample*  4 location*  5 function*  6 string*
//!          9 time_ns  10 duration_ns  11 period_type  12 period
//! ValueType 1 type  2 unit        (both indexes of strings)
//! Sample    1 location_id* (packed, leaf first)  2 value* (packed)
//! Location  1 id  3 address  4 line*
//! Line      1 function_id  2 line
//! Function  1 id  2 name  3 system_name  4 filename
//! ```

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// One kind of number that every sample has.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueType {
    pub(super) kind: &'static str,
    pub(super) unit: &'static str,
}

/// A function in a place of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// What a profile says besides its samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header<'a> {
    pub(super) sample_types: &'a [ValueType],
    pub(super) period_type: ValueType,
    pub(super) period: i64,
    pub(super) time_ns: i64,
    pub(super) duration_ns: i64,
}

/// A profile that is being put together.
pub(super) struct ProfileBuilder {
    out: Vec<u8>,
    strings: HashMap<String, i64>,
    string_list: Vec<String>,
    functions: HashMap<(String, String), u64>,
    locations: HashMap<Vec<Line>, u64>,
}

impl ProfileBuilder {
    pub(super) fn new(header: &Header<'_>) -> Self {
        let mut builder = Self {
            out: Vec::new(),
            strings: HashMap::from([(String::new(), 0)]),
            string_list: vec![String::new()], // Number 0 must be the empty string.
            functions: HashMap::new(),
            locations: HashMap::new(),
        };
        for sample_type in header.sample_types {
            let message = builder.value_type(*sample_type);
            push_message(&mut builder.out, 1, &message);
        }
        let period_type = builder.value_type(header.period_type);
        push_message(&mut builder.out, 11, &period_type);
        push_int(&mut builder.out, 12, header.period);
        push_int(&mut builder.out, 9, header.time_ns);
        push_int(&mut builder.out, 10, header.duration_ns);
        builder
    }

    /// Adds a stack, leaf first. Each place of it is the lines that were inlined into one another
    /// there, innermost first.
    pub(super) fn sample(&mut self, stack: Vec<Vec<Line>>, values: &[i64]) {
        let locations: Vec<u64> = stack.into_iter().map(|lines| self.location(lines)).collect();
        let mut message = Vec::new();
        let mut packed = Vec::new();
        locations.iter().for_each(|id| push_varint(&mut packed, *id));
        push_message(&mut message, 1, &packed);
        packed.clear();
        values.iter().for_each(|value| push_varint(&mut packed, value.cast_unsigned()));
        push_message(&mut message, 2, &packed);
        push_message(&mut self.out, 2, &message);
    }

    /// The finished profile, gzipped.
    pub(super) fn finish(mut self) -> std::io::Result<Vec<u8>> {
        for text in &self.string_list {
            push_message(&mut self.out, 6, text.as_bytes());
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.out)?;
        encoder.finish()
    }

    fn value_type(&mut self, value: ValueType) -> Vec<u8> {
        let (kind, unit) = (self.string(value.kind), self.string(value.unit));
        let mut message = Vec::new();
        push_int(&mut message, 1, kind);
        push_int(&mut message, 2, unit);
        message
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = i64::try_from(self.string_list.len()).unwrap_or(0);
        self.string_list.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    fn location(&mut self, lines: Vec<Line>) -> u64 {
        if let Some(id) = self.locations.get(&lines) {
            return *id;
        }
        let id = self.locations.len() as u64 + 1;
        let mut message = Vec::new();
        push_int(&mut message, 1, id.cast_signed());
        for line in &lines {
            let function = self.function(&line.function, &line.file);
            let mut inner = Vec::new();
            push_int(&mut inner, 1, function.cast_signed());
            push_int(&mut inner, 2, i64::from(line.line));
            push_message(&mut message, 4, &inner);
        }
        push_message(&mut self.out, 4, &message);
        self.locations.insert(lines, id);
        id
    }

    fn function(&mut self, name: &str, file: &str) -> u64 {
        let key = (name.to_owned(), file.to_owned());
        if let Some(id) = self.functions.get(&key) {
            return *id;
        }
        let id = self.functions.len() as u64 + 1;
        let (name, file) = (self.string(name), self.string(file));
        let mut message = Vec::new();
        push_int(&mut message, 1, id.cast_signed());
        push_int(&mut message, 2, name);
        push_int(&mut message, 3, name);
        push_int(&mut message, 4, file);
        push_message(&mut self.out, 5, &message);
        self.functions.insert(key, id);
        id
    }
}

const WIRE_VARINT: u64 = 0;
const WIRE_LENGTH: u64 = 2;

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_int(out: &mut Vec<u8>, field: u64, value: i64) {
    push_varint(out, field << 3 | WIRE_VARINT);
    push_varint(out, value.cast_unsigned());
}

fn push_message(out: &mut Vec<u8>, field: u64, message: &[u8]) {
    push_varint(out, field << 3 | WIRE_LENGTH);
    push_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

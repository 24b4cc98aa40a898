//! `\pL`, `\p{Greek}`, `\P{^Lu}`: classes by Unicode's categories and scripts, under exactly the
//! names that Go knows.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::class::finished;
use super::error::{RegexError, RegexErrorKind};
use super::parse::{Parser, until};

const CATEGORIES: [&str; 39] = [
    "C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me",
    "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk",
    "Sm", "So", "Z", "Zl", "Zp", "Zs", "Any",
];

/// Scripts, between blanks.
const SCRIPTS: &str = " \
    Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak \
    Bengali Bhaiksuki Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian \
    Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot \
    Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs \
    Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati \
    Gunjala_Gondi Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew \
    Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese \
    Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi \
    Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar \
    Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui \
    Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean \
    Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki \
    Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian \
    Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene \
    Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada \
    Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar \
    Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut \
    Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi \
    Wancho Warang_Citi Yezidi Yi Zanabazar_Square ";

impl<'p> Parser<'p> {
    /// The class at the beginning of `text`, which begins with `\p` or `\P`, and what follows.
    pub(super) fn unicode_class(
        &self,
        text: &'p str,
    ) -> Result<(ClassUnicode, &'p str), RegexError> {
        let mut negated = text.starts_with("\\P");
        let (mut name, rest) = self.class_name(text)?;
        if let Some(inverse) = name.strip_prefix('^') {
            (name, negated) = (inverse, !negated);
        }
        match class_of_name(name) {
            Some(class) => Ok((finished(class, self.flags.fold_case, negated), rest)),
            None => Err(self.error(RegexErrorKind::InvalidCharRange, until(text, rest))),
        }
    }

    /// The name in braces, or of a single letter.
    fn class_name(&self, text: &'p str) -> Result<(&'p str, &'p str), RegexError> {
        let name = &text[2..];
        match name.chars().next() {
            None => Ok(("", "")),
            Some('{') => match name[1..].split_once('}') {
                Some(parts) => Ok(parts),
                None => Err(self.error(RegexErrorKind::InvalidCharRange, text)),
            },
            Some(c) => Ok(name.split_at(c.len_utf8())),
        }
    }
}

/// The class of a category or script.
pub(super) fn class_of_name(name: &str) -> Option<ClassUnicode> {
    if name == "Any" {
        return Some(ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]));
    }
    if name == "Cs" {
        // Surrogates are no characters.
        return Some(ClassUnicode::empty());
    }
    let property = if CATEGORIES.contains(&name) {
        "gc"
    } else if !name.is_empty() && !name.contains(' ') && SCRIPTS.contains(&format!(" {name} ")) {
        "sc"
    } else {
        return None;
    };
    let hir = regex_syntax::parse(&format!("\\p{{{property}={name}}}")).ok()?;
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        HirKind::Literal(literal) => {
            let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
        }
        _ => None,
    }
}

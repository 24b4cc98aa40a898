//! The option table: the `config!` macro declares an option once, and flags, YAML, defaults, help,
//! dumps and documentation all walk what it made. Holds no option itself (`options/` does).

use crate::value::Value;

/// How much an operator should know before touching an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Everybody sets these; `-help` shows them.
    Basic,
    /// For tuning; `-help-all` shows them.
    Advanced,
    /// May change or go.
    Experimental,
    /// Will go.
    Deprecated,
}

impl Category {
    /// The word that the reference uses.
    pub fn name(self) -> &'static str {
        match self {
            Category::Basic => "basic",
            Category::Advanced => "advanced",
            Category::Experimental => "experimental",
            Category::Deprecated => "deprecated",
        }
    }
}

/// What is special about an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Mimir's option, and it works.
    None,
    /// Urd's own option: Mimir does not know it.
    Urd,
    /// Mimir has it but leaves it out of its published reference.
    Hidden,
    /// Mimir's option that is read, typed and shown, while nothing obeys it yet. Setting it is
    /// reported like an option that Urd does not have.
    Later,
}

/// One option as it was declared.
#[derive(Debug)]
pub struct Row {
    /// The key in its YAML section.
    pub name: &'static str,
    /// The flag behind its section's prefix; empty when the option exists in YAML only.
    pub flag: &'static str,
    /// The default as one would write it on the command line.
    pub default: &'static str,
    /// Who needs to know it.
    pub category: Category,
    /// What is special about it.
    pub mark: Mark,
    /// One line for help and reference.
    pub doc: &'static str,
}

/// Where a section stands: its YAML path and the prefix of its flags.
#[derive(Clone, Debug, Default)]
pub struct Place {
    path: String,
    flags: String,
}

impl Place {
    /// The place of a section inside this one; an empty name means that its keys stand here.
    /// `flags` is the prefix of its flags; one that begins with a dot goes on where that of this
    /// place ends.
    pub fn section(&self, name: &'static str, flags: &'static str) -> Place {
        let flags = match flags.strip_prefix('.') {
            Some(rest) => format!("{}{rest}", self.flags),
            None => flags.to_owned(),
        };
        Place { path: self.join(name), flags }
    }

    /// An option inside this section.
    pub fn option(&self, row: &'static Row) -> Found {
        let flag = match row.flag {
            "" => String::new(),
            flag => format!("{}{flag}", self.flags),
        };
        Found { row, path: self.join(row.name), flag }
    }

    fn join(&self, name: &str) -> String {
        match (self.path.as_str(), name) {
            (path, "") => path.to_owned(),
            ("", name) => name.to_owned(),
            (path, name) => format!("{path}.{name}"),
        }
    }
}

/// One option at its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// The declaration.
    pub row: &'static Row,
    /// The YAML path, keys joined by dots.
    pub path: String,
    /// The whole flag name without dashes; empty when there is none.
    pub flag: String,
}

impl Found {
    /// The name to tell a user: the flag, or where there is none the YAML path.
    pub fn title(&self) -> String {
        if self.flag.is_empty() { self.path.clone() } else { format!("-{}", self.flag) }
    }
}

/// A group of options, made by `config!`. Both walks visit every option once, in the order of
/// declaration: options first, then sections.
pub trait Section {
    /// Shows every option.
    fn walk<'a>(&'a self, place: &Place, visit: &mut dyn FnMut(Found, &'a dyn Value));
    /// Hands out every option to be changed.
    fn walk_mut(&mut self, place: &Place, visit: &mut dyn FnMut(Found, &mut dyn Value));
}

/// The key of a field, whose name may be a word of the language.
pub(crate) const fn plain_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// The value of a declared default.
pub(crate) fn default_value<V: Value + Default>(text: &str) -> V {
    let mut value = V::default();
    if !text.is_empty() {
        value.set_flag(text).expect("a declared default parses: a test walks every one of them");
    }
    value
}

/// Declares a group of options or a choice between words.
///
/// ```text
/// config! {
///     /// What the group is.
///     pub struct ServerConfig {
///         /// One line of documentation.
///         http_listen_port: u16 = "8080", "http-listen-port", Basic;
///         /// An option of Urd's own, see [`Mark`]; an empty flag means YAML only.
///         own: bool = "true", "own", Basic, Urd;
///     } sections {
///         /// Its keys stand below `tls`, its flags begin with `server.tls-`.
///         tls: TlsConfig => "tls", "server.tls-";
///         /// Its flags begin with the prefix of this group's, and go on with `http.`: for groups
///         /// that stand in several places.
///         http: HttpConfig => "http", ".http.";
///     }
/// }
/// ```
macro_rules! config {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:literal, $flag:literal, $category:ident
                $(, $mark:ident)?;
            )*
        }
        $(sections {
            $(
                $(#[doc = $section_doc:literal])+
                $section:ident: $section_type:ty => $yaml:literal, $flags:literal;
            )*
        })?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)*
            $($($(#[doc = $section_doc])+ pub $section: $section_type,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: crate::table::default_value($default),)*
                    $($($section: Default::default(),)*)?
                }
            }
        }

        impl $name {
            $(
                #[expect(non_upper_case_globals, reason = "one constant a field, named like it")]
                const $field: crate::table::Row = crate::table::Row {
                    name: crate::table::plain_name(stringify!($field)),
                    flag: $flag,
                    default: $default,
                    category: crate::table::Category::$category,
                    mark: crate::table::config!(@mark $($mark)?),
                    doc: concat!($($doc),+),
                };
            )*
        }

        impl crate::table::Section for $name {
            fn walk<'a>(
                &'a self,
                place: &crate::table::Place,
                visit: &mut dyn FnMut(crate::table::Found, &'a dyn crate::value::Value),
            ) {
                $(visit(place.option(&Self::$field), &self.$field);)*
                $($(self.$section.walk(&place.section($yaml, $flags), visit);)*)?
                let _ = (place, visit);
            }

            fn walk_mut(
                &mut self,
                place: &crate::table::Place,
                visit: &mut dyn FnMut(crate::table::Found, &mut dyn crate::value::Value),
            ) {
                $(visit(place.option(&Self::$field), &mut self.$field);)*
                $($(self.$section.walk_mut(&place.section($yaml, $flags), visit);)*)?
                let _ = (place, visit);
            }
        }
    };

    (
        $(#[doc = $about:literal])*
        pub enum $name:ident {
            $(#[doc = $first_doc:literal])+
            $first:ident = $first_word:literal,
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $first_doc])+
            #[default]
            $first,
            $($(#[doc = $doc])+ $variant,)*
        }

        impl $name {
            /// The word in configuration.
            pub fn word(self) -> &'static str {
                match self {
                    $name::$first => $first_word,
                    $($name::$variant => $word,)*
                }
            }

            fn from_word(text: &str) -> Result<Self, String> {
                match text {
                    $first_word => Ok($name::$first),
                    $($word => Ok($name::$variant),)*
                    _ => Err(format!(
                        "unsupported value \"{text}\", supported values: {}",
                        [$first_word, $($word),*].join(", ")
                    )),
                }
            }
        }

        impl crate::value::Value for $name {
            fn kind(&self) -> crate::value::Kind {
                crate::value::Kind::Choice
            }

            fn set_flag(&mut self, text: &str) -> Result<(), String> {
                *self = $name::from_word(text)?;
                Ok(())
            }

            fn set_yaml(&mut self, node: &crate::yaml::Node) -> Result<(), String> {
                let text = node.scalar().ok_or_else(|| {
                    format!("cannot use {} as a string", node.describe())
                })?;
                *self = $name::from_word(text)?;
                Ok(())
            }

            fn yaml(&self) -> crate::yaml::Out {
                crate::yaml::Out::text(self.word())
            }

            fn show(&self) -> String {
                self.word().to_owned()
            }
        }
    };

    (@mark) => { crate::table::Mark::None };
    (@mark $mark:ident) => { crate::table::Mark::$mark };
}

pub(crate) use config;

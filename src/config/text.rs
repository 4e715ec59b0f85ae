//! Reading a TOML document so that every problem in it is found at once, with its line.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Severity, nearest};
use super::scalar::Scalar;

/// A file's text, and what was found wrong with it so far.
pub(super) struct Text<'a> {
    file: &'a Path,
    text: &'a str,
    /// Where each line but the first begins.
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Text<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Text {
            file,
            text,
            lines: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            problems: RefCell::default(),
        }
    }

    /// The document; its syntax errors are recorded.
    pub(super) fn parse(&self) -> Spanned<DeTable<'a>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            self.error(
                error.span().unwrap_or(0..0),
                format!("this is not TOML: {}", error.message()),
                "correct the syntax; strings are quoted, tables are [name] or [[name]]",
            );
        }
        document
    }

    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// A path as the file means it: relative to the file's own directory.
    pub(super) fn relative(&self, path: &Path) -> PathBuf {
        match self.file.parent() {
            Some(directory) => directory.join(path),
            None => path.to_owned(),
        }
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.lines.partition_point(|start| *start <= span.start);
        let start = match line.checked_sub(1) {
            Some(previous) => self.lines.get(previous).copied().unwrap_or_default(),
            None => 0,
        };
        let before = self.text.get(start..span.start).unwrap_or_default();
        Place {
            file: self.file.to_owned(),
            line: line + 1,
            column: before.chars().count() + 1,
        }
    }

    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.place(span).line
    }

    /// Records an error.
    pub(super) fn error(
        &self,
        span: Range<usize>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let place = Some(self.place(&span));
        self.record(Severity::Error, place, what, advice);
    }

    /// Records a warning.
    pub(super) fn warning(
        &self,
        span: Range<usize>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let place = Some(self.place(&span));
        self.record(Severity::Warning, place, what, advice);
    }

    pub(super) fn record(
        &self,
        severity: Severity,
        place: Option<Place>,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.problems.borrow_mut().push(Problem {
            severity,
            place,
            what: what.into(),
            advice: advice.into(),
        });
    }

    /// Whether nothing recorded so far forbids the use of the configuration.
    pub(super) fn usable(&self) -> bool {
        let problems = self.problems.borrow();
        !problems.iter().any(|p| p.severity == Severity::Error)
    }

    /// All problems in the order of the file, those of the environment last.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (a.place.is_none(), &a.place).cmp(&(b.place.is_none(), &b.place)));
        problems
    }
}

/// A table of the document. Fields that nobody asks for are unknown.
pub(super) struct Section<'t> {
    text: &'t Text<'t>,
    name: String,
    table: &'t DeTable<'t>,
    span: Range<usize>,
    known: RefCell<Vec<&'static str>>,
    refused: RefCell<Vec<&'static str>>,
}

impl<'t> Section<'t> {
    pub(super) fn root(text: &'t Text<'t>, document: &'t Spanned<DeTable<'t>>) -> Self {
        Section::new(text, String::new(), document.get_ref(), 0..0)
    }

    fn new(text: &'t Text<'t>, name: String, table: &'t DeTable<'t>, span: Range<usize>) -> Self {
        Section {
            text,
            name,
            table,
            span,
            known: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// Where the section begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The full name of a table in this one.
    fn below(&self, name: &str) -> String {
        if self.name.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.name)
        }
    }

    fn value(&self, field: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.borrow_mut().push(field);
        self.table.get(field)
    }

    /// Whether the field is there, whatever its value.
    pub(super) fn has(&self, field: &str) -> bool {
        self.table.get(field).is_some()
    }

    /// A field's value. One of the wrong type is recorded and counts as absent.
    pub(super) fn take<T: Scalar>(&self, field: &'static str) -> Option<Spanned<T>> {
        self.scalar(field, self.value(field)?)
    }

    /// A field's value; its absence is recorded.
    pub(super) fn require<T: Scalar>(
        &self,
        field: &'static str,
        advice: &str,
    ) -> Option<Spanned<T>> {
        let Some(value) = self.value(field) else {
            self.missing(field, advice);
            return None;
        };
        self.scalar(field, value)
    }

    /// Records that a field is missing.
    pub(super) fn missing(&self, field: &str, advice: &str) {
        let what = match self.name.as_str() {
            "" => format!("`{field}` is missing"),
            name => format!("`{field}` is missing in [{name}]"),
        };
        self.text.error(self.span(), what, advice);
    }

    fn scalar<T: Scalar>(
        &self,
        field: &'static str,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<Spanned<T>> {
        match T::from_toml(value.get_ref()) {
            Ok(scalar) => Some(Spanned::new(value.span(), scalar)),
            Err(why) => {
                self.text.error(
                    value.span(),
                    format!("`{field}` is not {}", T::EXPECTED),
                    why,
                );
                None
            }
        }
    }

    /// The elements of an array of scalars.
    pub(super) fn list<T: Scalar>(&self, field: &'static str) -> Option<Vec<Spanned<T>>> {
        let value = self.value(field)?;
        let Some(array) = value.get_ref().as_array() else {
            self.text.error(
                value.span(),
                format!("`{field}` is not an array"),
                format!("write {field} = [{}, …]", T::EXAMPLE),
            );
            return None;
        };
        // All elements are looked at, so that all problems are recorded.
        Some(
            array
                .iter()
                .filter_map(|element| self.scalar(field, element))
                .collect(),
        )
    }

    /// A table, `[name]`.
    pub(super) fn section(&self, name: &'static str) -> Option<Section<'t>> {
        let value = self.value(name)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Section::new(
                self.text,
                self.below(name),
                table,
                value.span(),
            )),
            None => {
                self.text.error(
                    value.span(),
                    format!("`{name}` is not a table"),
                    format!("write one [{}] and its fields below it", self.below(name)),
                );
                None
            }
        }
    }

    /// An array of tables, `[[name]]`.
    pub(super) fn sections(&self, name: &'static str) -> Vec<Section<'t>> {
        let Some(value) = self.value(name) else {
            return Vec::new();
        };
        let tables = value.get_ref().as_array().map(|array| {
            array
                .iter()
                .map(|element| Some((element.get_ref().as_table()?, element.span())))
                .collect::<Option<Vec<_>>>()
        });
        let Some(Some(tables)) = tables else {
            self.text.error(
                value.span(),
                format!("`{name}` is not an array of tables"),
                format!(
                    "write [[{}]], with two brackets, and its fields below it",
                    self.below(name)
                ),
            );
            return Vec::new();
        };
        tables
            .into_iter()
            .map(|(table, span)| Section::new(self.text, self.below(name), table, span))
            .collect()
    }

    /// Refuses a field that must not be there.
    pub(super) fn forbid(&self, field: &'static str, what: &str, advice: &str) {
        // Not among the known ones, so that it is never suggested.
        self.refused.borrow_mut().push(field);
        if let Some(value) = self.table.get(field) {
            self.text.error(value.span(), what, advice);
        }
    }

    /// Records the fields that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.into_inner();
        let refused = self.refused.into_inner();
        for key in self.table.keys() {
            let field = key.get_ref().as_ref();
            if known.contains(&field) || refused.contains(&field) {
                continue;
            }
            let place = match self.name.as_str() {
                "" => "at the top level".to_owned(),
                name => format!("in [{name}]"),
            };
            let advice = match nearest(field, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("remove it; the fields here are {}", known.join(", ")),
            };
            self.text.error(
                key.span(),
                format!("unknown field `{field}` {place}"),
                advice,
            );
        }
    }
}

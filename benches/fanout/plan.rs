//! What is to be run, from the command line.

use super::Contestant;
use super::shape::Shape;

pub(crate) struct Plan {
    pub(crate) rows: usize,
    pub(crate) pairs: usize,
    pub(crate) shapes: Vec<Shape>,
    /// The first is what the others are compared with.
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) workers: usize,
}

impl Plan {
    pub(crate) fn from_args() -> Plan {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let number = |name: &str, default: usize| {
            value(name).map_or(default, |n| n.parse().expect("a number"))
        };
        let shapes = value("--shapes").unwrap_or_else(|| "aggregate,top,ordered,point".to_owned());
        let shape = |name: &str| {
            let known = Shape::ALL.into_iter().find(|shape| shape.name() == name);
            known.unwrap_or_else(|| panic!("there is no shape {name}"))
        };
        let contestant = |name: &str| {
            let known = Contestant::ALL
                .into_iter()
                .find(|one| one.argument() == name);
            known.unwrap_or_else(|| panic!("there is no contestant {name}"))
        };
        let contestants = match value("--contestants") {
            Some(names) => names.split(',').map(contestant).collect(),
            None => Contestant::ALL.to_vec(),
        };
        assert_eq!(
            contestants.first(),
            Some(&Contestant::Raw),
            "all are compared with raw"
        );
        assert!(
            contestants.len().is_multiple_of(2),
            "an even number of contestants"
        );
        Plan {
            contestants,
            workers: number("--workers", 2),
            rows: number("--rows", 1_000_000),
            pairs: number("--pairs", 16),
            shapes: shapes.split(',').map(shape).collect(),
        }
    }
}

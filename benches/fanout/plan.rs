//! What is to be run, from the command line.

use super::shape::Shape;

pub(crate) struct Plan {
    pub(crate) rows: usize,
    pub(crate) pairs: usize,
    pub(crate) shapes: Vec<Shape>,
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
        Plan {
            rows: number("--rows", 1_000_000),
            pairs: number("--pairs", 15),
            shapes: shapes.split(',').map(shape).collect(),
        }
    }
}

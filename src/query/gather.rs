//! Rows of many shards as arrays, to be handed to one node.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{Kind, Type};

use super::render::Carried;
use crate::error::{Error, Phase, Result};
use crate::fanout::{Encoded, FanOutRow};

/// What may be gathered at most, for one statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

/// What of the bounds is used, by all of a statement's fragments together.
#[derive(Debug)]
pub(super) struct Budget {
    bounds: Bounds,
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bounds: Bounds) -> Self {
        Budget {
            bounds,
            rows: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    fn spend(&self, bytes: usize, what: &str) -> Result<()> {
        let rows = self.rows.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if rows <= self.bounds.rows && bytes <= self.bounds.bytes {
            return Ok(());
        }
        let Bounds { rows, bytes } = self.bounds;
        Err(Error::refused(format!(
            "more than {rows} rows or {bytes} bytes would have to be gathered for one node to put them \
             together, at: {what}; narrow them by a condition or a key, raise max_gathered(), or report \
             through postgres_fdw"
        ))
        .in_phase(Phase::Merge))
    }
}

/// The columns of a fragment's rows.
pub(super) struct Gathered {
    columns: Vec<Array>,
    rows: usize,
}

struct Array {
    element: Type,
    array: Type,
    nulls: bool,
    data: BytesMut,
}

impl Array {
    fn of(array: &Type) -> Self {
        Array {
            element: match array.kind() {
                Kind::Array(element) => element.clone(),
                _ => Type::TEXT,
            },
            array: array.clone(),
            nulls: false,
            data: BytesMut::new(),
        }
    }
}

impl Gathered {
    pub(super) fn new(columns: &[Carried]) -> Self {
        Gathered {
            columns: columns
                .iter()
                .map(|column| Array::of(&column.array))
                .collect(),
            rows: 0,
        }
    }

    /// One column, of this array type.
    pub(super) fn of(array: Type) -> Self {
        Gathered {
            columns: vec![Array::of(&array)],
            rows: 0,
        }
    }

    /// Whether rows with these columns can be taken.
    pub(super) fn fits(&self, columns: &[(&str, &Type)]) -> bool {
        let types = columns.iter().map(|(_, ty)| *ty);
        self.columns.iter().map(|column| &column.element).eq(types)
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &FanOutRow, budget: &Budget, what: &str) -> Result<()> {
        let mut size = 0;
        for (at, column) in self.columns.iter_mut().enumerate() {
            match row.bytes(at) {
                Some(bytes) => {
                    column
                        .data
                        .put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
                    column.data.put_slice(bytes);
                    size += bytes.len();
                }
                None => {
                    column.data.put_i32(-1);
                    column.nulls = true;
                }
            }
            size += 4;
        }
        self.rows += 1;
        budget.spend(size, what)
    }

    /// The arrays, as parameters.
    pub(super) fn into_arrays(self) -> impl Iterator<Item = Encoded> {
        let rows = i32::try_from(self.rows).unwrap_or(i32::MAX);
        self.columns.into_iter().map(move |column| {
            let mut out = BytesMut::with_capacity(column.data.len() + 20);
            out.put_i32(i32::from(rows > 0));
            out.put_i32(i32::from(column.nulls));
            out.put_u32(column.element.oid());
            if rows > 0 {
                out.put_i32(rows);
                out.put_i32(1);
                out.put_slice(&column.data);
            }
            Encoded {
                ty: column.array,
                bytes: Some(out.freeze()),
            }
        })
    }
}

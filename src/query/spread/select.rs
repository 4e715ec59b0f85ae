//! How a SELECT is spread: its joins, and what is done with the rows.

use sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, InTarget, JoinConstraint, JoinOperator, NamedWindowExpr,
    Select, TableFactor, TableWithJoins, WindowSpec, WindowType,
};

use super::{Analysis, Parts, Restrictions, Spread, beside};
use crate::query::bind::{Kind, item_expr};
use crate::query::catalog::{Placement, is_of_key_type};
use crate::query::classes::Classes;
use crate::query::closed;
use crate::query::keys::{self, Col};
use crate::query::tree::{self, Node, bare};

/// The rows that a FROM clause, or a part of it, gives.
#[derive(Clone, Debug)]
pub(in crate::query) enum Rows {
    Same,
    Beside,
    /// The union of the shards' rows; in each, these columns hold its shard's key.
    Parts {
        keys: Vec<Col>,
        only: Restrictions,
    },
    Whole,
}

impl Analysis<'_> {
    /// The rows of a SELECT after its WHERE, and which equalities hold in them.
    pub(in crate::query) fn rows(&mut self, select: &Select, anchors: &[Col]) -> (Rows, Classes) {
        let conditions = holding(select);
        let mut classes = Classes::default();
        for condition in &conditions {
            self.learn(&mut classes, condition);
        }
        let mut rows = Rows::Same;
        for tree in &select.from {
            let next = self.tree(tree, &classes, &rows, anchors);
            rows = inner(rows, next, &classes);
        }
        self.pin(select, &rows, &classes, &conditions, anchors);
        if let Rows::Parts { keys, only } = &mut rows {
            if keys
                .iter()
                .any(|key| anchors.iter().any(|a| classes.equal(key, a)))
            {
                return (Rows::Beside, classes);
            }
            let is_key = |col: &Col| keys.iter().any(|key| classes.equal(key, col));
            let key_type = self.catalog.key_type;
            only.extend(
                conditions
                    .iter()
                    .flat_map(|condition| tree::conjuncts(condition))
                    .filter_map(|conjunct| keys::allowed(conjunct, key_type, &is_key)),
            );
        }
        (rows, classes)
    }

    pub(super) fn select(&mut self, select: &Select, anchors: &[Col]) -> Spread {
        let (rows, classes) = self.rows(select, anchors);
        let mut near = anchors.to_vec();
        if let Rows::Parts { keys, .. } = &rows {
            near.extend(keys.iter().cloned());
        }
        // Subqueries in expressions. Those in FROM are looked at with the rows.
        let mut inside = Spread::Same;
        let mut exprs = Vec::new();
        tree::select_nodes(select, &mut |node| {
            if let Node::Expr(expr) = node {
                exprs.push(expr);
            }
        });
        for expr in &exprs {
            inside = beside(inside, self.inner_where(expr, &near, &classes));
        }
        let aggregates_outside = exprs
            .iter()
            .any(|expr| closed::aggregates_outside(expr, self.catalog));
        match rows {
            _ if inside == Spread::Whole || aggregates_outside => Spread::Whole,
            Rows::Same => inside,
            Rows::Beside => Spread::Beside,
            Rows::Whole => Spread::Whole,
            Rows::Parts { keys, only } => {
                let is_key = |expr: &Expr| {
                    keys::col(expr)
                        .is_some_and(|col| keys.iter().any(|key| classes.equal(key, &col)))
                };
                match self.keeps_parts(select, &is_key) {
                    false => Spread::Whole,
                    true => Spread::Parts(Parts {
                        keys: (0..select.projection.len())
                            .filter(|at| {
                                select
                                    .projection
                                    .get(*at)
                                    .is_some_and(|i| is_key(item_expr(i)))
                            })
                            .collect(),
                        only,
                    }),
                }
            }
        }
    }

    /// Whether what is done with the rows puts together rows of one key only.
    fn keeps_parts(&self, select: &Select, is_key: &dyn Fn(&Expr) -> bool) -> bool {
        let grouped = match &select.group_by {
            GroupByExpr::Expressions(list, _) if !list.is_empty() => {
                if !list.iter().any(is_key) {
                    return false;
                }
                true
            }
            _ => false,
        };
        if !grouped && self.aggregates(select) {
            return false;
        }
        let outputs = || select.projection.iter().map(item_expr);
        match &select.distinct {
            Some(Distinct::Distinct) if !outputs().any(is_key) => return false,
            Some(Distinct::On(list)) if !list.iter().any(is_key) => return false,
            _ => {}
        }
        windows(select)
            .iter()
            .all(|spec| partitioned(spec, select, is_key))
    }

    /// Whether a SELECT makes one row of many, by an aggregate or by HAVING.
    pub(in crate::query) fn aggregates(&self, select: &Select) -> bool {
        let mut found = select.having.is_some();
        tree::select_nodes(select, &mut |node| {
            if let Node::Expr(expr) = node {
                tree::each_expr(expr, &mut |expr| {
                    if let Expr::Function(function) = expr {
                        found = found || self.is_aggregate(function);
                    }
                });
            }
        });
        found
    }

    pub(in crate::query) fn is_aggregate(&self, function: &Function) -> bool {
        closed::is_aggregate(function, self.catalog)
    }

    /// Whether a condition can be judged on the shard of the row with these keys.
    pub(in crate::query) fn is_near(&mut self, condition: &Expr, keys: &[Col]) -> bool {
        matches!(self.inner(condition, keys), Spread::Same | Spread::Beside)
    }

    /// Subqueries inside an expression.
    pub(super) fn inner(&mut self, expr: &Expr, near: &[Col]) -> Spread {
        self.inner_where(expr, near, &Classes::default())
    }

    fn inner_where(&mut self, expr: &Expr, near: &[Col], classes: &Classes) -> Spread {
        // key IN (SELECT key FROM …): rows with another key are nothing to it.
        if let Expr::In {
            expr: left,
            target: InTarget::Subquery(query),
            ..
        } = expr
        {
            let pins = self.pins.clone();
            let spread = self.query(query, near);
            let by_key = match &spread {
                Spread::Parts(parts) => {
                    let is_key = |expr: &Expr| {
                        keys::col(expr)
                            .is_some_and(|col| near.iter().any(|key| classes.equal(key, &col)))
                    };
                    match bare(left) {
                        Expr::Tuple(list) => list
                            .iter()
                            .enumerate()
                            .any(|(at, expr)| is_key(expr) && parts.keys.contains(&at)),
                        single => is_key(single) && parts.keys.contains(&0),
                    }
                }
                _ => false,
            };
            let left = self.inner_where(left, near, classes);
            if by_key {
                self.pins = pins;
                return beside(left, Spread::Beside);
            }
            return match spread {
                Spread::Parts(_) => Spread::Whole,
                spread => beside(left, spread),
            };
        }
        let mut spread = Spread::Same;
        let mut nodes = Vec::new();
        tree::children(expr, &mut |node| nodes.push(node));
        for node in nodes {
            let next = match node {
                Node::Expr(inner) => self.inner_where(inner, near, classes),
                Node::Query(query) => match self.query(query, near) {
                    Spread::Parts(_) => Spread::Whole,
                    spread => spread,
                },
            };
            spread = beside(spread, next);
        }
        spread
    }

    fn tree(
        &mut self,
        tree: &TableWithJoins,
        classes: &Classes,
        before: &Rows,
        anchors: &[Col],
    ) -> Rows {
        let mut rows = self.factor(&tree.relation, classes, before, anchors);
        for join in &tree.joins {
            let left = inner(before.clone(), rows.clone(), classes);
            let mut known = classes.clone();
            let condition = match tree::constraint!(&join.join_operator) {
                Some(JoinConstraint::On(condition)) => Some(condition),
                _ => None,
            };
            let full = matches!(join.join_operator, JoinOperator::FullOuter(_));
            if full {
                known = Classes::default();
            }
            if let Some(condition) = condition {
                self.learn(&mut known, condition);
            }
            // Rows to the right that do not match are kept by these joins: inside of it the condition
            // says nothing.
            let keeps_right = matches!(
                join.join_operator,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
            );
            let inside = if keeps_right { classes } else { &known };
            let right = self.factor(&join.relation, inside, &left, anchors);
            // What the condition asks has to be near as well.
            let mut near = anchors.to_vec();
            for side in [&rows, &right] {
                if let Rows::Parts { keys, .. } = side {
                    near.extend(keys.iter().cloned());
                }
            }
            let asks = condition.map_or(Spread::Same, |condition| {
                self.inner_where(condition, &near, &known)
            });
            if asks == Spread::Whole {
                rows = Rows::Whole;
                continue;
            }
            rows = match &join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {
                    outer(rows, right, &known, anchors)
                }
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => {
                    outer(right, rows, &known, anchors)
                }
                JoinOperator::FullOuter(_) => match (rows, right) {
                    (Rows::Parts { keys: a, .. }, Rows::Parts { keys: b, .. })
                        if share(&a, &b, &known) =>
                    {
                        Rows::Parts {
                            keys: Vec::new(),
                            only: Vec::new(),
                        }
                    }
                    (Rows::Same, Rows::Same) => Rows::Same,
                    _ => Rows::Whole,
                },
                _ => inner(rows, right, &known),
            };
        }
        rows
    }

    fn factor(
        &mut self,
        factor: &TableFactor,
        classes: &Classes,
        left: &Rows,
        anchors: &[Col],
    ) -> Rows {
        let alias = match closed::alias(factor) {
            Some(alias) => alias,
            None => {
                return match factor {
                    TableFactor::NestedJoin {
                        table_with_joins, ..
                    } => self.tree(table_with_joins, classes, left, anchors),
                    _ => Rows::Whole,
                };
            }
        };
        let Some(item) = self.items.items.get(&alias) else {
            return Rows::Whole;
        };
        let spread = match (&item.kind, factor) {
            (Kind::Table(table), _) => {
                return match &table.placement {
                    Placement::Sharded(_) => Rows::Parts {
                        keys: self.items.key(&alias).into_iter().collect(),
                        only: Vec::new(),
                    },
                    Placement::Reference => Rows::Same,
                    _ => Rows::Whole,
                };
            }
            (
                Kind::Query,
                TableFactor::Derived {
                    lateral, subquery, ..
                },
            ) => {
                let mut near = anchors.to_vec();
                if *lateral && let Rows::Parts { keys, .. } = left {
                    near.extend(keys.iter().cloned());
                }
                self.query(subquery, &near)
            }
            (Kind::Cte(name), _) => self.ctes.get(name).cloned().unwrap_or(Spread::Whole),
            (Kind::Function, _) => {
                let mut near = anchors.to_vec();
                if let Rows::Parts { keys, .. } = left {
                    near.extend(keys.iter().cloned());
                }
                let mut spread = Spread::Same;
                tree::factor_nodes(factor, &mut |node| {
                    if let Node::Expr(expr) = node {
                        spread = beside(spread.clone(), self.inner(expr, &near));
                    }
                });
                spread
            }
            _ => Spread::Whole,
        };
        match spread {
            Spread::Same => Rows::Same,
            Spread::Beside => Rows::Beside,
            Spread::Whole => Rows::Whole,
            Spread::Parts(parts) => Rows::Parts {
                keys: parts
                    .keys
                    .iter()
                    .filter_map(|at| item.columns.as_ref()?.get(*at))
                    .map(|name| (alias.clone(), name.clone()))
                    .collect(),
                only: parts.only,
            },
        }
    }

    /// Takes up equalities between columns of the key's type.
    fn learn(&self, classes: &mut Classes, condition: &Expr) {
        let key_type = self.catalog.key_type;
        classes.learn(condition, key_type, &|col| self.is_of_key_type(col));
    }

    fn is_of_key_type(&self, (alias, name): &Col) -> bool {
        let Some(item) = self.items.items.get(alias) else {
            return false;
        };
        match &item.kind {
            Kind::Table(_) => self
                .items
                .table_column(alias, name)
                .is_some_and(|column| is_of_key_type(column, self.catalog.key_type)),
            Kind::Query | Kind::Cte(_) => self
                .items
                .sources(alias, name)
                .is_some_and(|sources| sources.iter().all(|source| self.is_of_key_type(source))),
            Kind::Function => false,
        }
    }

    /// Notes what the tables of a FROM clause are restricted to.
    fn pin(
        &mut self,
        select: &Select,
        rows: &Rows,
        classes: &Classes,
        conditions: &[&Expr],
        anchors: &[Col],
    ) {
        let key_type = self.catalog.key_type;
        let mut groups: Vec<Vec<Col>> = Vec::new();
        match rows {
            Rows::Same | Rows::Beside => return,
            Rows::Parts { keys, .. } if !keys.is_empty() => groups.push(keys.clone()),
            _ => {
                for alias in closed::aliases(select) {
                    if let Some(Kind::Table(table)) = self.items.items.get(&alias).map(|i| &i.kind)
                    {
                        match &table.placement {
                            Placement::Reference => {}
                            _ => match self.items.key(&alias) {
                                Some(key) => groups.push(vec![key]),
                                None => self.pins = None,
                            },
                        }
                    }
                }
            }
        }
        for keys in groups {
            // On the shard of the row beside, which has its own pin.
            if keys
                .iter()
                .any(|key| anchors.iter().any(|a| classes.equal(key, a)))
            {
                continue;
            }
            let is_key = |col: &Col| keys.iter().any(|key| classes.equal(key, col));
            let only: Restrictions = conditions
                .iter()
                .flat_map(|condition| tree::conjuncts(condition))
                .filter_map(|conjunct| keys::allowed(conjunct, key_type, &is_key))
                .collect();
            match (&mut self.pins, only.into_iter().next()) {
                (Some(pins), Some(first)) => pins.push(first),
                _ => self.pins = None,
            }
        }
    }
}

/// The conditions that hold in every row of a SELECT: its WHERE, and those of inner joins.
pub(in crate::query) fn holding(select: &Select) -> Vec<&Expr> {
    let mut out = Vec::new();
    for tree in &select.from {
        out.extend(inner_conditions(tree));
    }
    out.extend(select.selection.as_ref());
    out
}

fn inner_conditions(tree: &TableWithJoins) -> Vec<&Expr> {
    fn nested(factor: &TableFactor) -> Vec<&Expr> {
        match factor {
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => inner_conditions(table_with_joins),
            _ => Vec::new(),
        }
    }
    let mut out = nested(&tree.relation);
    for join in &tree.joins {
        match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::CrossJoin(constraint) => {
                out.extend(nested(&join.relation));
                if let JoinConstraint::On(condition) = constraint {
                    out.push(condition);
                }
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {}
            // What stands to the left may be NULLs from here on.
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => out = nested(&join.relation),
            _ => out.clear(),
        }
    }
    out
}

fn share(a: &[Col], b: &[Col], classes: &Classes) -> bool {
    a.iter().any(|a| b.iter().any(|b| classes.equal(a, b)))
}

/// Every row with every row that fits.
fn inner(left: Rows, right: Rows, classes: &Classes) -> Rows {
    match (left, right) {
        (Rows::Same, Rows::Same) => Rows::Same,
        (Rows::Same | Rows::Beside, Rows::Same | Rows::Beside) => Rows::Beside,
        (Rows::Parts { keys, only }, Rows::Same | Rows::Beside)
        | (Rows::Same | Rows::Beside, Rows::Parts { keys, only }) => Rows::Parts { keys, only },
        (Rows::Parts { keys: a, only: x }, Rows::Parts { keys: b, only: y })
            if share(&a, &b, classes) =>
        {
            Rows::Parts {
                keys: [a, b].concat(),
                only: [x, y].concat(),
            }
        }
        _ => Rows::Whole,
    }
}

/// Every row of the first, with what fits of the second or NULLs.
fn outer(kept: Rows, other: Rows, classes: &Classes, anchors: &[Col]) -> Rows {
    match (kept, other) {
        (Rows::Parts { keys, only }, Rows::Same | Rows::Beside) => Rows::Parts { keys, only },
        (Rows::Parts { keys: a, only }, Rows::Parts { keys: b, .. }) if share(&a, &b, classes) => {
            Rows::Parts { keys: a, only }
        }
        (Rows::Same | Rows::Beside, Rows::Parts { keys, .. }) if share(&keys, anchors, classes) => {
            Rows::Beside
        }
        (Rows::Same, Rows::Same) => Rows::Same,
        (Rows::Same | Rows::Beside, Rows::Same | Rows::Beside) => Rows::Beside,
        _ => Rows::Whole,
    }
}

/// The windows that functions of a SELECT look through.
fn windows(select: &Select) -> Vec<&WindowType> {
    let mut out = Vec::new();
    tree::select_nodes(select, &mut |node| {
        if let Node::Expr(expr) = node {
            tree::each_expr(expr, &mut |expr| {
                if let Expr::Function(Function {
                    over: Some(over), ..
                }) = expr
                {
                    out.push(over);
                }
            });
        }
    });
    out
}

/// Whether a window holds rows of one key only.
fn partitioned(window: &WindowType, select: &Select, is_key: &dyn Fn(&Expr) -> bool) -> bool {
    let named = |name: &str| {
        let definition = select.named_window.iter().find(|d| d.0.value == name);
        definition.map(|d| &d.1)
    };
    let spec_is = |spec: &WindowSpec| {
        spec.partition_by.iter().any(is_key)
            || spec
                .window_name
                .as_ref()
                .is_some_and(|name| match named(&name.value) {
                    Some(NamedWindowExpr::WindowSpec(spec)) => spec.partition_by.iter().any(is_key),
                    _ => false,
                })
    };
    match window {
        WindowType::WindowSpec(spec) => spec_is(spec),
        WindowType::NamedWindow(name) => match named(&name.value) {
            Some(NamedWindowExpr::WindowSpec(spec)) => spec_is(spec),
            _ => false,
        },
    }
}

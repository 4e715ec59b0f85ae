//! Walking sqlparser's expressions.
//!
//! What is not named here is not understood, and refused: a part of a statement that nobody looked at
//! could be anything.

use sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, InTarget, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr,
    Statement, Subscript, TableFactor, TableWithJoins, WindowFrameBound, WindowSpec, WindowType,
};

/// What is directly inside an expression.
pub(super) enum Node<'a> {
    Expr(&'a Expr),
    Query(&'a Query),
}

/// The same, to be changed.
pub(super) enum NodeMut<'a> {
    Expr(&'a mut Expr),
    Query(&'a mut Query),
}

macro_rules! walk {
    ($Node:ident, $children:ident, $function:ident, $window:ident, $($mut:tt)?) => {
        /// Hands over what is directly inside; `false` for an expression of a kind that is not known.
        pub(super) fn $children<'a>(
            expr: &'a $($mut)? Expr,
            f: &mut dyn FnMut($Node<'a>),
        ) -> bool {
            match expr {
                Expr::Identifier(_)
                | Expr::CompoundIdentifier(_)
                | Expr::Value(_)
                | Expr::TypedString(_)
                | Expr::Wildcard(_) => {}
                Expr::IsFalse(e)
                | Expr::IsNotFalse(e)
                | Expr::IsTrue(e)
                | Expr::IsNotTrue(e)
                | Expr::IsNull(e)
                | Expr::IsNotNull(e)
                | Expr::IsUnknown(e)
                | Expr::IsNotUnknown(e)
                | Expr::IsJson { expr: e, .. }
                | Expr::IsNormalized { expr: e, .. }
                | Expr::UnaryOp { expr: e, .. }
                | Expr::Cast { expr: e, format: None, .. }
                | Expr::Extract { expr: e, .. }
                | Expr::Ceil { expr: e, .. }
                | Expr::Floor { expr: e, .. }
                | Expr::Collate { expr: e, .. }
                | Expr::Nested(e)
                | Expr::Prefixed { value: e, .. } => f($Node::Expr(e)),
                Expr::IsDistinctFrom(a, b)
                | Expr::IsNotDistinctFrom(a, b)
                | Expr::BinaryOp { left: a, right: b, .. }
                | Expr::AnyOp { left: a, right: b, .. }
                | Expr::AllOp { left: a, right: b, .. }
                | Expr::AtTimeZone { timestamp: a, time_zone: b }
                | Expr::Position { expr: a, r#in: b } => {
                    f($Node::Expr(a));
                    f($Node::Expr(b));
                }
                Expr::In { expr, target, global: false, .. } => {
                    f($Node::Expr(expr));
                    match target {
                        InTarget::List(list) => for e in list { f($Node::Expr(e)) },
                        InTarget::Subquery(query) => f($Node::Query(query)),
                        _ => return false,
                    }
                }
                Expr::Between { expr, low, high, .. } => {
                    f($Node::Expr(expr));
                    f($Node::Expr(low));
                    f($Node::Expr(high));
                }
                Expr::Like { expr, pattern, escape_char, .. }
                | Expr::ILike { expr, pattern, escape_char, .. }
                | Expr::SimilarTo { expr, pattern, escape_char, .. } => {
                    f($Node::Expr(expr));
                    f($Node::Expr(pattern));
                    if let Some(e) = escape_char { f($Node::Expr(e)) }
                }
                Expr::Substring { expr, substring_from, substring_for, .. } => {
                    f($Node::Expr(expr));
                    if let Some(e) = substring_from { f($Node::Expr(e)) }
                    if let Some(e) = substring_for { f($Node::Expr(e)) }
                }
                Expr::Trim { trim_what, expr, trim_characters, .. } => {
                    if let Some(e) = trim_what { f($Node::Expr(e)) }
                    f($Node::Expr(expr));
                    if let Some(list) = trim_characters { for e in list { f($Node::Expr(e)) } }
                }
                Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                    f($Node::Expr(expr));
                    f($Node::Expr(overlay_what));
                    f($Node::Expr(overlay_from));
                    if let Some(e) = overlay_for { f($Node::Expr(e)) }
                }
                Expr::Function(function) => return $function(function, f),
                Expr::Case { operand, conditions, else_result, .. } => {
                    if let Some(e) = operand { f($Node::Expr(e)) }
                    for when in conditions {
                        let condition = &$($mut)? when.condition;
                        f($Node::Expr(condition));
                        let result = &$($mut)? when.result;
                        f($Node::Expr(result));
                    }
                    if let Some(e) = else_result { f($Node::Expr(e)) }
                }
                Expr::Exists { subquery, .. } => f($Node::Query(subquery)),
                Expr::Subquery(subquery) => f($Node::Query(subquery)),
                Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                    for set in sets { for e in set { f($Node::Expr(e)) } }
                }
                Expr::Tuple(list) => for e in list { f($Node::Expr(e)) },
                Expr::Array(array) => {
                    let elements = &$($mut)? array.elem;
                    for e in elements { f($Node::Expr(e)) }
                }
                Expr::Interval(interval) => {
                    let value = &$($mut)? interval.value;
                    f($Node::Expr(value));
                }
                Expr::CompoundFieldAccess { root, access_chain } => {
                    f($Node::Expr(root));
                    for access in access_chain {
                        match access {
                            AccessExpr::Dot(e) if matches!(e, Expr::Identifier(_)) => {}
                            AccessExpr::Subscript(Subscript::Index { index }) => f($Node::Expr(index)),
                            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                                if let Some(e) = lower_bound { f($Node::Expr(e)) }
                                if let Some(e) = upper_bound { f($Node::Expr(e)) }
                            }
                            _ => return false,
                        }
                    }
                }
                _ => return false,
            }
            true
        }

        fn $function<'a>(
            function: &'a $($mut)? Function,
            f: &mut dyn FnMut($Node<'a>),
        ) -> bool {
            let Function { args, within_group, filter, over, parameters, uses_odbc_syntax, .. } = function;
            if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) {
                return false;
            }
            match args {
                FunctionArguments::None => {}
                FunctionArguments::Subquery(query) => f($Node::Query(query)),
                FunctionArguments::List(list) => {
                    let arguments = &$($mut)? list.args;
                    for argument in arguments {
                        match argument {
                            FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. }
                            | FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => f($Node::Expr(e)),
                            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
                            _ => return false,
                        }
                    }
                    let clauses = &$($mut)? list.clauses;
                    for clause in clauses {
                        match clause {
                            FunctionArgumentClause::OrderBy(keys) => {
                                for key in keys {
                                    let e = &$($mut)? key.expr;
                                    f($Node::Expr(e));
                                }
                            }
                            _ => return false,
                        }
                    }
                }
            }
            for key in within_group {
                let e = &$($mut)? key.expr;
                f($Node::Expr(e));
            }
            if let Some(e) = filter { f($Node::Expr(e)) }
            if let Some(WindowType::WindowSpec(spec)) = over {
                $window(spec, f);
            }
            true
        }

        /// What is inside the definition of a window.
        pub(super) fn $window<'a>(
            spec: &'a $($mut)? WindowSpec,
            f: &mut dyn FnMut($Node<'a>),
        ) {
            let WindowSpec { partition_by, order_by, window_frame, .. } = spec;
            for e in partition_by { f($Node::Expr(e)) }
            for key in order_by {
                let e = &$($mut)? key.expr;
                f($Node::Expr(e));
            }
            if let Some(frame) = window_frame {
                let start = &$($mut)? frame.start_bound;
                if let WindowFrameBound::Preceding(Some(e)) | WindowFrameBound::Following(Some(e)) = start {
                    f($Node::Expr(e));
                }
                let end = &$($mut)? frame.end_bound;
                if let Some(WindowFrameBound::Preceding(Some(e)) | WindowFrameBound::Following(Some(e))) = end {
                    f($Node::Expr(e));
                }
            }
        }
    };
}

walk!(Node, children, function_children, window_children,);
walk!(
    NodeMut,
    children_mut,
    function_children_mut,
    window_children_mut,
    mut
);

/// Hands over every expression inside, itself first, but what is in subqueries.
pub(super) fn each_expr<'a>(expr: &'a Expr, f: &mut dyn FnMut(&'a Expr)) {
    f(expr);
    children(expr, &mut |node| {
        if let Node::Expr(inner) = node {
            each_expr(inner, f);
        }
    });
}

/// Whether any expression inside is such a one, also in subqueries.
pub(super) fn any_expr(expr: &Expr, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
    let mut found = test(expr);
    children(expr, &mut |node| {
        found = found
            || match node {
                Node::Expr(inner) => any_expr(inner, test),
                Node::Query(query) => any_in_query(query, test),
            };
    });
    found
}

/// Whether any expression of a query is such a one.
pub(super) fn any_in_query(query: &Query, test: &mut dyn FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    query_nodes(query, &mut |node| {
        found = found
            || match node {
                Node::Expr(inner) => any_expr(inner, test),
                Node::Query(query) => any_in_query(query, test),
            };
    });
    found
}

macro_rules! walk_query {
    ($Node:ident, $query:ident, $set:ident, $select:ident, $from:ident, $factor:ident, $window:ident, $($mut:tt)?) => {
        /// Hands over the expressions and the subqueries directly inside a query: those of its CTEs and of
        /// its FROM as queries.
        pub(super) fn $query<'a>(query: &'a $($mut)? Query, f: &mut dyn FnMut($Node<'a>)) {
            let Query { with, body, order_by, limit_clause, fetch, .. } = query;
            if let Some(with) = with {
                let tables = &$($mut)? with.cte_tables;
                for cte in tables {
                    let query = &$($mut)? cte.query;
                    f($Node::Query(query));
                }
            }
            $set(body, f);
            if let Some(order) = order_by {
                let kind = &$($mut)? order.kind;
                if let OrderByKind::Expressions(keys) = kind {
                    for key in keys {
                        let e = &$($mut)? key.expr;
                        f($Node::Expr(e));
                    }
                }
            }
            if let Some(sqlparser::ast::LimitClause::LimitOffset { limit, offset, .. }) = limit_clause {
                if let Some(e) = limit { f($Node::Expr(e)) }
                if let Some(offset) = offset {
                    let e = &$($mut)? offset.value;
                    f($Node::Expr(e));
                }
            }
            if let Some(fetch) = fetch {
                let quantity = &$($mut)? fetch.quantity;
                if let Some(e) = quantity { f($Node::Expr(e)) }
            }
        }

        fn $set<'a>(body: &'a $($mut)? SetExpr, f: &mut dyn FnMut($Node<'a>)) {
            match body {
                SetExpr::Select(select) => $select(select, f),
                SetExpr::Query(query) => f($Node::Query(query)),
                SetExpr::SetOperation { left, right, .. } => {
                    $set(left, f);
                    $set(right, f);
                }
                SetExpr::Values(values) => {
                    let rows = &$($mut)? values.rows;
                    for row in rows {
                        let row = &$($mut)? row.content;
                        for e in row { f($Node::Expr(e)) }
                    }
                }
                _ => {}
            }
        }

        /// The same of a SELECT.
        pub(super) fn $select<'a>(select: &'a $($mut)? Select, f: &mut dyn FnMut($Node<'a>)) {
            let Select { distinct, projection, from, selection, group_by, having, named_window, .. } = select;
            if let Some(sqlparser::ast::Distinct::On(list)) = distinct {
                for e in list { f($Node::Expr(e)) }
            }
            for item in projection {
                if let SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } = item {
                    f($Node::Expr(e));
                }
            }
            for tree in from { $from(tree, f) }
            if let Some(e) = selection { f($Node::Expr(e)) }
            if let sqlparser::ast::GroupByExpr::Expressions(list, _) = group_by {
                for e in list { f($Node::Expr(e)) }
            }
            if let Some(e) = having { f($Node::Expr(e)) }
            for definition in named_window {
                let definition = &$($mut)? definition.1;
                if let sqlparser::ast::NamedWindowExpr::WindowSpec(spec) = definition {
                    $window(spec, f);
                }
            }
        }

        /// The same of a tree of joins.
        pub(super) fn $from<'a>(tree: &'a $($mut)? TableWithJoins, f: &mut dyn FnMut($Node<'a>)) {
            let TableWithJoins { relation, joins, .. } = tree;
            $factor(relation, f);
            for join in joins {
                let relation = &$($mut)? join.relation;
                $factor(relation, f);
                let operator = &$($mut)? join.join_operator;
                if let Some(constraint) = constraint!(operator)
                    && let sqlparser::ast::JoinConstraint::On(e) = constraint
                {
                    f($Node::Expr(e));
                }
            }
        }

        /// The same of one item of FROM.
        pub(super) fn $factor<'a>(factor: &'a $($mut)? TableFactor, f: &mut dyn FnMut($Node<'a>)) {
            match factor {
                TableFactor::Derived { subquery, .. } => f($Node::Query(subquery)),
                TableFactor::NestedJoin { table_with_joins, .. } => $from(table_with_joins, f),
                TableFactor::Table { args: Some(args), .. } => {
                    let args = &$($mut)? args.args;
                    for argument in args {
                        if let FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. }
                        | FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = argument
                        {
                            f($Node::Expr(e));
                        }
                    }
                }
                TableFactor::Function { args, .. } => {
                    for argument in args {
                        if let FunctionArg::Named { arg: FunctionArgExpr::Expr(e), .. }
                        | FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) = argument
                        {
                            f($Node::Expr(e));
                        }
                    }
                }
                TableFactor::UNNEST { array_exprs, .. } => {
                    for e in array_exprs { f($Node::Expr(e)) }
                }
                _ => {}
            }
        }
    };
}

/// The condition of a join, where it has one.
macro_rules! constraint {
    ($operator:expr) => {{
        use sqlparser::ast::JoinOperator::{
            CrossJoin, FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter,
        };
        match $operator {
            Join(c) | Inner(c) | Left(c) | LeftOuter(c) | Right(c) | RightOuter(c)
            | FullOuter(c) | CrossJoin(c) => Some(c),
            _ => None,
        }
    }};
}
pub(super) use constraint;

walk_query!(
    Node,
    query_nodes,
    set_nodes,
    select_nodes,
    from_nodes,
    factor_nodes,
    window_children,
);
walk_query!(
    NodeMut,
    query_nodes_mut,
    set_nodes_mut,
    select_nodes_mut,
    from_nodes_mut,
    factor_nodes_mut,
    window_children_mut,
    mut
);

/// Changes every expression of a query, the inner ones first, also in subqueries.
pub(super) fn change_query(query: &mut Query, f: &mut dyn FnMut(&mut Expr)) {
    query_nodes_mut(query, &mut |node| match node {
        NodeMut::Expr(expr) => change_expr(expr, f),
        NodeMut::Query(query) => change_query(query, f),
    });
}

/// The same within an expression.
pub(super) fn change_expr(expr: &mut Expr, f: &mut dyn FnMut(&mut Expr)) {
    children_mut(expr, &mut |node| match node {
        NodeMut::Expr(inner) => change_expr(inner, f),
        NodeMut::Query(query) => change_query(query, f),
    });
    f(expr);
}

/// Whether a subquery is inside.
pub(super) fn holds_query(expr: &Expr) -> bool {
    any_expr(expr, &mut |expr| {
        matches!(
            expr,
            Expr::Subquery(_)
                | Expr::Exists { .. }
                | Expr::In {
                    target: InTarget::Subquery(_),
                    ..
                }
        ) || matches!(expr, Expr::Function(function) if matches!(function.args, FunctionArguments::Subquery(_)))
    })
}

/// The conjuncts of a condition.
pub(super) fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    let mut out = Vec::new();
    let mut stack = vec![condition];
    while let Some(expr) = stack.pop() {
        match expr {
            Expr::BinaryOp {
                left,
                op: sqlparser::ast::BinaryOperator::And,
                right,
            } => {
                stack.push(right);
                stack.push(left);
            }
            Expr::Nested(inner) => stack.push(inner),
            other => out.push(other),
        }
    }
    out
}

/// All of them must hold.
pub(super) fn conjunction(list: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    list.into_iter()
        .map(|expr| match expr {
            Expr::Nested(_) => expr,
            other => Expr::Nested(Box::new(other)),
        })
        .reduce(|left, right| Expr::BinaryOp {
            left: Box::new(left),
            op: sqlparser::ast::BinaryOperator::And,
            right: Box::new(right),
        })
}

/// Without the parentheses around it.
pub(super) fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// The keys of an ORDER BY.
pub(super) fn sort_keys(query: &Query) -> &[OrderByExpr] {
    match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys,
        _ => &[],
    }
}

/// The expressions of a query's order and of its limits.
pub(super) fn cut_exprs(query: &Query) -> Vec<&Expr> {
    let mut out: Vec<&Expr> = sort_keys(query).iter().map(|key| &key.expr).collect();
    if let Some(sqlparser::ast::LimitClause::LimitOffset { limit, offset, .. }) =
        &query.limit_clause
    {
        out.extend(
            limit
                .iter()
                .chain(offset.iter().map(|offset| &offset.value)),
        );
    }
    out.extend(query.fetch.iter().flat_map(|fetch| &fetch.quantity));
    out
}

/// The query of a statement, if it is one.
pub(super) fn query_of(statement: Statement) -> Option<Box<Query>> {
    match statement {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

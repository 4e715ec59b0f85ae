-- The example bank: run on every shard, as the role that owns the database. Sharded by customer_id.
--
-- Every primary key and every foreign key contains customer_id, so that a customer's rows refer to
-- each other inside one shard and PostgreSQL itself can check them.

-- Reference table: the same rows on every shard.
CREATE TABLE public.currencies (
    currency text     NOT NULL PRIMARY KEY CHECK (currency ~ '^[A-Z]{3}$'),
    name     text     NOT NULL
);

CREATE TABLE public.customers (
    customer_id uuid        NOT NULL PRIMARY KEY,
    full_name   text        NOT NULL CHECK (full_name <> ''),
    email       text        NOT NULL CHECK (email LIKE '_%@_%'),
    country     text        NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    status      text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked', 'closed')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Not unique: a unique index on a shard says nothing about the other shards.
CREATE INDEX customers_email ON public.customers (lower(email));
CREATE INDEX customers_created_at ON public.customers (created_at);

CREATE TABLE public.bank_accounts (
    customer_id uuid          NOT NULL REFERENCES public.customers,
    account_id  uuid          NOT NULL,
    currency    text          NOT NULL REFERENCES public.currencies,
    balance     numeric(20,2) NOT NULL DEFAULT 0,
    overdraft   numeric(20,2) NOT NULL DEFAULT 0 CHECK (overdraft >= 0),
    status      text          NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'frozen', 'closed')),
    opened_at   timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, account_id),
    CHECK (balance >= -overdraft)
);

CREATE TABLE public.transactions (
    customer_id    uuid          NOT NULL,
    transaction_id uuid          NOT NULL,
    account_id     uuid          NOT NULL,
    kind           text          NOT NULL CHECK (kind IN ('deposit', 'withdrawal', 'card', 'transfer', 'fee')),
    amount         numeric(20,2) NOT NULL CHECK (amount <> 0),
    description    text          NOT NULL DEFAULT '',
    booked_at      timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, transaction_id),
    FOREIGN KEY (customer_id, account_id) REFERENCES public.bank_accounts
);

-- An account's statement, newest first; it serves the foreign key too.
CREATE INDEX transactions_account ON public.transactions (customer_id, account_id, booked_at DESC);
-- Reports over time, all customers.
CREATE INDEX transactions_booked_at ON public.transactions (booked_at);

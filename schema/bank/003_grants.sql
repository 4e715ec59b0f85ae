-- The application's role, named app: what the bank's service needs and no more. It cannot delete.
REVOKE ALL ON public.currencies, public.customers, public.bank_accounts, public.transactions FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO app;
GRANT SELECT ON public.currencies TO app;
GRANT SELECT, INSERT, UPDATE ON public.customers, public.bank_accounts TO app;
GRANT SELECT, INSERT ON public.transactions TO app;

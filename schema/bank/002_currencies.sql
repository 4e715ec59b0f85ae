-- The reference rows.
INSERT INTO public.currencies (currency, name) VALUES
    ('CHF', 'Swiss franc'),
    ('EUR', 'Euro'),
    ('GBP', 'Pound sterling'),
    ('DKK', 'Danish krone'),
    ('SEK', 'Swedish krona'),
    ('USD', 'United States dollar');

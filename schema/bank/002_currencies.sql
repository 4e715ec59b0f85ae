-- The reference rows.
INSERT INTO public.currencies (currency, name) VALUES
    ('CHF', 'Swiss franc'),
    ('EUR', 'Euro'),
    ('GBP', 'Pound sterling'),
    ('JPY', 'Japanese yen'),
    ('SEK', 'Swedish krona'),
    ('USD', 'United States dollar');

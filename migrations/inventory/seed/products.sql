-- A dozen products for development. One is nearly sold out, so that a rejection is easy to see.
INSERT INTO products (sku, name, price, currency)
VALUES
    ('tea-assam',        'Assam black tea, 250 g',        1299, 'EUR'),
    ('tea-darjeeling',   'Darjeeling first flush, 100 g', 1850, 'EUR'),
    ('tea-genmaicha',    'Genmaicha with toasted rice',    990, 'EUR'),
    ('tea-jasmine',      'Jasmine pearls, 100 g',         1640, 'EUR'),
    ('tea-gyokuro',      'Gyokuro, the last of harvest',  4200, 'EUR'),
    ('coffee-yirga',     'Yirgacheffe beans, 500 g',      1590, 'EUR'),
    ('coffee-huila',     'Huila beans, 500 g',            1450, 'EUR'),
    ('cup-celadon',      'Celadon tea cup',               1800, 'EUR'),
    ('mug-speckled',     'Speckled stoneware mug',        1600, 'EUR'),
    ('kettle-gooseneck', 'Gooseneck kettle, 0.8 l',       5900, 'EUR'),
    ('strainer-steel',   'Fine steel strainer',            750, 'EUR'),
    ('honey-linden',     'Linden honey, 500 g',            890, 'EUR')
ON CONFLICT (sku) DO NOTHING;

INSERT INTO stock (sku, initial, on_hand)
VALUES
    ('tea-assam',        1000, 1000),
    ('tea-darjeeling',   1000, 1000),
    ('tea-genmaicha',    1000, 1000),
    ('tea-jasmine',      1000, 1000),
    ('tea-gyokuro',         3,    3),
    ('coffee-yirga',     1000, 1000),
    ('coffee-huila',     1000, 1000),
    ('cup-celadon',      1000, 1000),
    ('mug-speckled',     1000, 1000),
    ('kettle-gooseneck', 1000, 1000),
    ('strainer-steel',   1000, 1000),
    ('honey-linden',     1000, 1000)
ON CONFLICT (sku) DO NOTHING;

module example.com/shop/migrations

go 1.26.0

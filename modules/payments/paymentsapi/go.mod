module example.com/shop/modules/payments/paymentsapi

go 1.26.0

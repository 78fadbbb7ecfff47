module example.com/shop/modules/payments/paymentsapi

go 1.26.0

toolchain go1.26.10

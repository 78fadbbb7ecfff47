module example.com/shop/modules/orders/ordersapi

go 1.26.0

toolchain go1.26.10

module example.com/shop/modules/orders/ordersapi

go 1.26.0

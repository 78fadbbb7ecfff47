module example.com/shop/modules/inventory/inventoryapi

go 1.26.0

toolchain go1.26.10

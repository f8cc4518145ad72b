"""Cases from the field: what people bring, each tried as they would."""
